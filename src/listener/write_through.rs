//! Streams around another one that leave the writing to it.

use std::io;
use std::task::Poll;

use tokio::io::AsyncWrite;

/// A stream that writes by way of another one, and may look at what becomes of it.
pub(super) trait WriteThrough {
    type Inner: AsyncWrite + Unpin;

    fn inner(&self) -> &Self::Inner;

    fn inner_mut(&mut self) -> &mut Self::Inner;

    /// So many bytes were written, or none are taken. An error is that of the write.
    fn note_write(&mut self, _written: &Poll<io::Result<usize>>) -> io::Result<()> {
        Ok(())
    }

    /// All that was written is on its way, or not yet.
    fn note_flush(&mut self, _flushed: &Poll<io::Result<()>>) -> io::Result<()> {
        Ok(())
    }
}

/// Has a [`WriteThrough`] be an [`AsyncWrite`], which no trait of ours can do for all
/// of them.
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
