import { describePrograms } from './oracle-programs.ts';

describePrograms('32-bit');
