import { describePrograms } from './oracle-programs.ts';

describePrograms('4-level');
