// What the host gives, in tests: the log goes to standard error, metrics nowhere.

export const log = (level, message) => console.error(`${level}: ${message}`);
export const metric = () => {};
export const nowMs = () => BigInt(Date.now());
