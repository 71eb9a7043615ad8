// Bytes that the component's bindings made. They are of another realm, where Uint8Array is another
// class: a view of this realm makes `instanceof` say what one expects.

export const own = ({ buffer, byteOffset, byteLength }) =>
  new Uint8Array(buffer, byteOffset, byteLength);
