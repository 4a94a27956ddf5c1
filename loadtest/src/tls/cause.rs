//! What TLS found wrong, inside of what others made of it.

use std::error::Error;
use std::io;

/// The error of TLS that this one came of, if it did.
pub(crate) fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // It calls the source of what it holds its own, and skips what it holds.
        let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match held {
            Some(held) => Some(held),
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_found_behind_any_number_of_others() {
        let inner = io::Error::other(rustls::Error::DecryptError);
        let outer = tokio_tungstenite::tungstenite::Error::Io(io::Error::other(inner));
        assert_eq!(cause(&outer), Some(&rustls::Error::DecryptError));
        assert_eq!(cause(&io::Error::other("something else")), None);
    }
}
