//! Client polls in URL paths, as AMP caches fetch them.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use memchr::memchr2;
use percent_encoding::percent_decode_str;

/// The error for a path without a client poll. Its text is sent to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot decode URL path")]
pub struct InvalidAmpPath;

/// Base64url without padding. Like Go's decoder, it ignores stray bits at the end.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// Decodes the poll in `path`, the part after `/amp/client/`: the format `0`, anything up
/// to the last slash (which makes each URL new to the cache), then base64url.
pub fn decode(path: &str) -> Result<Vec<u8>, InvalidAmpPath> {
    let path = Cow::from(percent_decode_str(path));
    let rest = path.strip_prefix(b"0").ok_or(InvalidAmpPath)?;
    let slash = rest
        .iter()
        .rposition(|&byte| byte == b'/')
        .ok_or(InvalidAmpPath)?;
    let data = without_line_ends(&rest[slash + 1..]);
    BASE64URL.decode(data).map_err(|_| InvalidAmpPath)
}

/// Removes line ends; borrows the data in the usual case that there are none.
fn without_line_ends(data: &[u8]) -> Cow<'_, [u8]> {
    if memchr2(b'\r', b'\n', data).is_none() {
        return data.into();
    }
    let others = data.iter().filter(|byte| !matches!(byte, b'\r' | b'\n'));
    others.copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_then_anything_then_the_poll() {
        for path in [
            "0/MS4w",
            "0abc/MS4w",
            "0a/b//MS4w",
            "0/MS%0A4w",
            "0%2FMS4w%0D",
            "0/MS\n4w",
        ] {
            assert_eq!(decode(path).as_deref(), Ok(&b"1.0"[..]), "{path}");
        }
        assert_eq!(decode("0/").as_deref(), Ok(&b""[..]));
        assert_eq!(decode("0/_-8").as_deref(), Ok(&b"\xff\xef"[..]));
        assert_eq!(decode("0/_-9").as_deref(), Ok(&b"\xff\xef"[..]));
    }

    #[test]
    fn anything_else_is_refused() {
        for path in [
            "", "0", "0MS4w", "1/MS4w", "/0/MS4w", "0/MS4w=", "0/MS+w", "0/M", "0/MS 4w", "0/é",
        ] {
            assert_eq!(decode(path), Err(InvalidAmpPath), "{path}");
        }
    }
}
