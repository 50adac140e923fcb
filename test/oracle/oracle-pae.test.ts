import { describePrograms } from './oracle-programs.ts';

describePrograms('pae');
