//! Rows as text, and text as the inside of a JSON string.

use super::rows::BadRowCode;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;
const HEX: &[u8; 16] = b"0123456789abcdef";

/// The row as text, or why it is none.
pub(super) fn utf8(raw: &[u8]) -> Result<&str, (BadRowCode, String)> {
    std::str::from_utf8(raw).map_err(|error| {
        let at = error.valid_up_to();
        let byte = raw.get(at).unwrap_or(&0);
        let message = format!("the row is not UTF-8: byte {byte:#04x} at its place {at}");
        (BadRowCode::Utf8, message)
    })
}

/// Appends `text`, which is UTF-8, with what JSON wants escaped.
pub(super) fn escape(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    loop {
        let plain = plain_prefix(rest);
        let (head, tail) = rest.split_at(plain);
        out.extend_from_slice(head);
        let Some((&byte, tail)) = tail.split_first() else {
            return;
        };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', HEX[high], HEX[low]]);
            }
        }
        rest = tail;
    }
}

/// Bytes at the front that need no escape: eight at a time, then one by one.
fn plain_prefix(text: &[u8]) -> usize {
    let mut words = text.chunks_exact(8);
    let mut plain = 0;
    for word in &mut words {
        let word = u64::from_le_bytes(word.try_into().expect("chunks of eight"));
        if has_special(word) {
            break;
        }
        plain += 8;
    }
    let special = |&b: &u8| b < 0x20 || b == b'"' || b == b'\\';
    let rest = text.get(plain..).unwrap_or_default();
    plain + rest.iter().position(special).unwrap_or(rest.len())
}

/// Whether one of eight bytes is a quote, a backslash or below a space.
fn has_special(word: u64) -> bool {
    let zero = |w: u64| w.wrapping_sub(ONES) & !w;
    let quote = zero(word ^ (ONES * u64::from(b'"')));
    let backslash = zero(word ^ (ONES * u64::from(b'\\')));
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (quote | backslash | control) & HIGHS != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn escaped_text_is_read_back_by_a_json_reader(text in ".{0,40}", special in "[\\x00-\\x1f\"\\\\]{0,4}") {
            let text = format!("{text}{special}{text}");
            let mut json = b"\"".to_vec();
            escape(&mut json, text.as_bytes());
            json.push(b'"');
            proptest::prop_assert_eq!(serde_json::from_slice::<String>(&json).unwrap(), text);
        }
    }

    #[test]
    fn every_byte_is_found_at_every_place_of_a_word() {
        for byte in 0..=u8::MAX {
            let special = byte < 0x20 || byte == b'"' || byte == b'\\';
            for at in 0..16 {
                let mut text = [b'x'; 16];
                text[at] = byte;
                assert_eq!(
                    plain_prefix(&text),
                    if special { at } else { 16 },
                    "{byte} at {at}"
                );
            }
        }
    }
}
