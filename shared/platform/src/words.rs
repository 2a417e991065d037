//! The words of a platform for how things stand on it.

/// An open list of words, as a platform publishes them: an enum with a variant for each, and `Other` for those that are not known,
/// which are kept as they are.
///
/// In tests, `PUBLISHED` has every known word.
#[macro_export]
macro_rules! words {
    ($(#[$doc:meta])* $vis:vis $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(from = "String", into = "String")]
        $vis enum $name {
            $($(#[$vdoc])* $variant,)+
            /// A word we do not know.
            Other(String),
        }

        impl $name {
            /// Every word that was published.
            #[cfg(test)]
            $vis const PUBLISHED: &[&str] = &[$($text),+];

            /// The word on the wire.
            $vis fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Other(text) => text,
                }
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                match text.as_str() {
                    $($text => Self::$variant,)+
                    _ => Self::Other(text),
                }
            }
        }

        impl From<$name> for String {
            fn from(word: $name) -> Self {
                word.as_str().to_owned()
            }
        }
    };
}
