export { WrittenTables } from './written-tables.ts';
