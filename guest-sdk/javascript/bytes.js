// Bytes that the component's bindings made. They are of another realm, where Uint8Array is another
// class: a view of this realm makes `instanceof` say what one expects.

export const own = ({ buffer, byteOffset, byteLength }) =>
  new Uint8Array(buffer, byteOffset, byteLength);

/** A key, a value or a header's value as it came; null if there is none. */
export function given(payload) {
  if (payload === undefined) return null;
  return payload.tag === 'text' ? payload.val : own(payload.val);
}
