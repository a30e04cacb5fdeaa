// The version of this build; the release script replaces nothing here: package.json holds the same number and a test compares them.
export const version = '0.1.0';
