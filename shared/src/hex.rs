//! Bytes as lower-case hex digits.

/// Writes the digits of bytes.
pub(crate) fn write(bytes: &[u8], digits: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (byte, digits) in bytes.iter().zip(digits.chunks_exact_mut(2)) {
        digits[0] = DIGITS[usize::from(byte >> 4)];
        digits[1] = DIGITS[usize::from(byte & 15)];
    }
}

/// Returns the digits of bytes.
pub(crate) fn text(bytes: &[u8]) -> String {
    let mut digits = vec![b'0'; 2 * bytes.len()];
    write(bytes, &mut digits);
    digits.into_iter().map(char::from).collect()
}

/// Returns the bytes of digits; `None` if these are other characters or not `2 * N`.
pub(crate) fn parse<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let (pairs, rest) = digits.as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = number(*high)? << 4 | number(*low)?;
    }
    Some(bytes)
}

fn number(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parsed_digits_are_the_bytes_that_were_written() {
        let all: [u8; 256] = std::array::from_fn(|byte| byte as u8);
        let digits = text(&all);
        assert!(digits.starts_with("000102") && digits.ends_with("fdfeff"));
        assert_eq!(parse(digits.as_bytes()), Some(all));
        for other in ["", "0", "000", "0g", "0A", "+1", " 1", "0000"] {
            assert_eq!(parse::<1>(other.as_bytes()), None, "{other}");
        }
    }
}
