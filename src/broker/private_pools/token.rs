//! The tokens of private pools, and how one is recognized.

use std::fmt;

use aws_lc_rs::hmac;

/// The minimum length of a token: shorter ones could be guessed.
pub const TOKEN_MIN: usize = 16;
/// The maximum length of a token.
pub const TOKEN_MAX: usize = 128;
/// The maximum number of tokens of a pool: the one in use, and the one before or after it.
pub const TOKENS_MAX: usize = 2;

/// The secret with which clients and proxies reach a private pool, as a part of their URL.
#[derive(Clone, PartialEq, Eq)]
pub struct PoolToken(String);

/// The mistake in a file of tokens. It does not repeat the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTokens {
    /// A line is too short or too long.
    #[error("line {0}: a token must have {TOKEN_MIN} to {TOKEN_MAX} characters")]
    Length(usize),
    /// A line has a character that would have to be escaped in a URL.
    #[error("line {0}: a token must consist of letters, digits, - and _")]
    Character(usize),
    /// There is no token.
    #[error("must have a token, as `openssl rand -hex 16` prints it")]
    Empty,
    /// There are too many tokens.
    #[error("must not have more than {TOKENS_MAX} tokens")]
    TooMany,
}

impl PoolToken {
    /// A token of random bits.
    pub fn from_random(bits: [u8; 16]) -> Self {
        Self(format!("{:032x}", u128::from_be_bytes(bits)))
    }

    /// The token itself, which is not to be shown to anybody but its owner.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Reads a file of tokens, one a line; `#` begins a comment.
    pub fn parse_file(text: &str) -> Result<Vec<Self>, InvalidTokens> {
        let mut tokens = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let token = line.split('#').next().unwrap_or_default().trim();
            if token.is_empty() {
                continue;
            }
            let line = index + 1;
            if !(TOKEN_MIN..=TOKEN_MAX).contains(&token.len()) {
                return Err(InvalidTokens::Length(line));
            }
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            if !token.bytes().all(is_plain) {
                return Err(InvalidTokens::Character(line));
            }
            tokens.push(Self(token.to_owned()));
        }
        match tokens.len() {
            0 => Err(InvalidTokens::Empty),
            1..=TOKENS_MAX => Ok(tokens),
            _ => Err(InvalidTokens::TooMany),
        }
    }
}

impl fmt::Debug for PoolToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PoolToken(..)")
    }
}

/// A random key, under which tokens are compared: how long it takes to find that a guess is
/// wrong depends on its digest, and so says nothing of any token.
pub struct TokenKey(hmac::Key);

/// The digest of a token (HMAC-SHA256, RFC 2104).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct PoolTokenDigest([u8; 32]);

impl TokenKey {
    pub(super) fn digest(&self, token: &str) -> PoolTokenDigest {
        let tag = hmac::sign(&self.0, token.as_bytes());
        let mut digest = [0; 32];
        digest.copy_from_slice(tag.as_ref());
        PoolTokenDigest(digest)
    }

    pub(super) fn digest_of(&self, token: &PoolToken) -> PoolTokenDigest {
        self.digest(&token.0)
    }
}

impl From<[u8; 32]> for TokenKey {
    fn from(key: [u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &key))
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TokenKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<usize, InvalidTokens> {
        PoolToken::parse_file(text).map(|tokens| tokens.len())
    }

    #[test]
    fn a_file_has_one_token_or_two() {
        assert_eq!(parse("0123456789abcdef\n"), Ok(1));
        assert_eq!(
            parse("# new\n0123456789abcdef # a\n\n0123456789_ABC-EF"),
            Ok(2)
        );
        assert_eq!(parse("# nothing\n"), Err(InvalidTokens::Empty));
        let three = "0123456789abcdef\n".repeat(3);
        assert_eq!(parse(&three), Err(InvalidTokens::TooMany));
    }

    #[test]
    fn mistakes_are_named_by_their_line_without_the_token() {
        assert_eq!(parse("\n0123456789abcde"), Err(InvalidTokens::Length(2)));
        assert_eq!(parse(&"a".repeat(129)), Err(InvalidTokens::Length(1)));
        assert_eq!(parse("0123456789abcd/f"), Err(InvalidTokens::Character(1)));
        let tokens = PoolToken::parse_file("0123456789abcdef").unwrap();
        assert!(!format!("{tokens:?}").contains("0123"));
    }

    #[test]
    fn digests_are_of_their_key() {
        let [one, other] = [1, 2].map(|byte| TokenKey::from([byte; 32]));
        assert_eq!(one.digest("a"), one.digest("a"));
        assert_ne!(one.digest("a"), one.digest("b"));
        assert_ne!(one.digest("a"), other.digest("a"));
    }
}
