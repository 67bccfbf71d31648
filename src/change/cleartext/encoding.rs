//! The text of a file, whichever Unicode encoding it has.

/// Decodes a file that is not in UTF-8, as readers of YAML do: UTF-16 or UTF-32, told by its byte order mark or by where its
/// first zero bytes are. What does not fit becomes U+FFFD. `None` for all other files.
pub(super) fn decode(content: &[u8]) -> Option<String> {
    Some(match content {
        [0, 0, 0xfe, 0xff, ..] | [0, 0, 0, _, ..] => wide(content, u32::from_be_bytes),
        [0xff, 0xfe, 0, 0, ..] | [_, 0, 0, 0, ..] => wide(content, u32::from_le_bytes),
        [0xfe, 0xff, ..] | [0, _, ..] => pairs(content, u16::from_be_bytes),
        [0xff, 0xfe, ..] | [_, 0, ..] => pairs(content, u16::from_le_bytes),
        _ => return None,
    })
}

fn pairs(content: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let units = content.chunks_exact(2).filter_map(|bytes| Some(unit(bytes.try_into().ok()?)));
    char::decode_utf16(units).map(|read| read.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

fn wide(content: &[u8], unit: fn([u8; 4]) -> u32) -> String {
    let units = content.chunks_exact(4).filter_map(|bytes| Some(unit(bytes.try_into().ok()?)));
    units.map(|unit| char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_in_each_encoding() {
        let text = "kind: Secret ä\n";
        let utf16 = |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
        let utf32 = |bytes: fn(u32) -> [u8; 4]| text.chars().flat_map(|c| bytes(u32::from(c))).collect::<Vec<u8>>();
        let marked = |mark: &[u8], rest: Vec<u8>| [mark.to_vec(), rest].concat();
        for content in [
            utf16(u16::to_le_bytes),
            utf16(u16::to_be_bytes),
            utf32(u32::to_le_bytes),
            utf32(u32::to_be_bytes),
            marked(&[0xff, 0xfe], utf16(u16::to_le_bytes)),
            marked(&[0xfe, 0xff], utf16(u16::to_be_bytes)),
            marked(&[0xff, 0xfe, 0, 0], utf32(u32::to_le_bytes)),
        ] {
            assert_eq!(decode(&content).unwrap().trim_start_matches('\u{feff}'), text, "{content:?}");
        }
        assert_eq!(decode(text.as_bytes()), None);
    }
}
