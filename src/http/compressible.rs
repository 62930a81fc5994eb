//! Texts that are compressed once, on the first request for the compressed form.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::pages::{CachedPage, NoPage};

/// A text in plain and compressed form.
#[derive(Clone, Debug)]
pub(super) struct Compressible {
    text: Bytes,
    gzip: Arc<CachedPage<Bytes>>,
}

impl Compressible {
    pub(super) fn new(text: String) -> Self {
        Self {
            text: text.into(),
            // It never expires: it lives as long as the text.
            gzip: Arc::new(CachedPage::new(Duration::MAX)),
        }
    }

    pub(super) fn plain(self) -> Bytes {
        self.text
    }

    /// The gzip form of the text (RFC 1952).
    pub(super) async fn gzip(&self) -> Result<Bytes, NoPage> {
        let text = self.text.clone();
        self.gzip.get(move || compress(&text)).await
    }
}

fn compress(text: &[u8]) -> Bytes {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to memory cannot fail.
    let _ = gzip.write_all(text);
    gzip.finish().unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    #[tokio::test]
    async fn it_is_compressed_once() {
        let text = "snowflake_broker_parked_polls 0\n".repeat(1000);
        let compressible = Compressible::new(text.clone());
        let compressed = compressible.gzip().await.unwrap();
        assert!(compressed.len() < text.len() / 10);
        let again = compressible.clone().gzip().await.unwrap();
        assert_eq!(again.as_ptr(), compressed.as_ptr());
        let mut read = String::new();
        let mut decoder = GzDecoder::new(&*compressed);
        decoder.read_to_string(&mut read).unwrap();
        assert_eq!(read, text);
        assert_eq!(compressible.plain(), text);
    }
}
