/** Runs every case of a file in Node.js; throws with what differs first. */
export function checkCases(
  module: string | { href: string },
  cases: string | { href: string },
): Promise<void>;
