//! Wrappers of streams that pass writes through.

use std::io;
use std::task::Poll;

use tokio::io::AsyncWrite;

/// A stream that passes writes to an inner stream and observes the results.
pub(super) trait WriteThrough {
    type Inner: AsyncWrite + Unpin;

    fn inner(&self) -> &Self::Inner;

    fn inner_mut(&mut self) -> &mut Self::Inner;

    /// Observes the result of a write. An error replaces it.
    fn note_write(&mut self, _written: &Poll<io::Result<usize>>) -> io::Result<()> {
        Ok(())
    }

    /// Observes the result of a flush.
    fn note_flush(&mut self, _flushed: &Poll<io::Result<()>>) -> io::Result<()> {
        Ok(())
    }
}

/// Implements [`AsyncWrite`] for a [`WriteThrough`], which a blanket implementation cannot
/// do for a foreign trait.
macro_rules! write_through {
    ($stream:ty) => {
        impl ::tokio::io::AsyncWrite for $stream {
            fn poll_write(
                mut self: ::std::pin::Pin<&mut Self>,
                context: &mut ::std::task::Context<'_>,
                bytes: &[u8],
            ) -> ::std::task::Poll<::std::io::Result<usize>> {
                let written = ::std::pin::Pin::new(self.inner_mut()).poll_write(context, bytes);
                self.note_write(&written)?;
                written
            }

            fn poll_flush(
                mut self: ::std::pin::Pin<&mut Self>,
                context: &mut ::std::task::Context<'_>,
            ) -> ::std::task::Poll<::std::io::Result<()>> {
                let flushed = ::std::pin::Pin::new(self.inner_mut()).poll_flush(context);
                self.note_flush(&flushed)?;
                flushed
            }

            fn poll_shutdown(
                mut self: ::std::pin::Pin<&mut Self>,
                context: &mut ::std::task::Context<'_>,
            ) -> ::std::task::Poll<::std::io::Result<()>> {
                ::std::pin::Pin::new(self.inner_mut()).poll_shutdown(context)
            }

            fn poll_write_vectored(
                mut self: ::std::pin::Pin<&mut Self>,
                context: &mut ::std::task::Context<'_>,
                buffers: &[::std::io::IoSlice<'_>],
            ) -> ::std::task::Poll<::std::io::Result<usize>> {
                let inner = ::std::pin::Pin::new(self.inner_mut());
                let written = inner.poll_write_vectored(context, buffers);
                self.note_write(&written)?;
                written
            }

            fn is_write_vectored(&self) -> bool {
                self.inner().is_write_vectored()
            }
        }
    };
}

pub(super) use write_through;
