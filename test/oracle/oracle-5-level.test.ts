import { describePrograms } from './oracle-programs.ts';

describePrograms('5-level');
