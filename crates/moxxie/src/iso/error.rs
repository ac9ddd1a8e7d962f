//! Why an image was refused.

/// A path of an image as errors show it.
pub(super) fn shown(path: &str) -> String {
    moxxie_core::boot::event::one_line(path, 60)
}

/// Why an image was refused. One line, which says what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IsoError {
    /// The bytes could not be read: nothing is said about the image.
    #[error("the image cannot be read: {0}")]
    Disk(String),
    /// Something else altogether.
    #[error("this is not an ISO 9660 image")]
    NotIso,
    /// The other format of such discs.
    #[error("this is a UDF image without ISO 9660 names, which cannot be read here")]
    Udf,
    /// A structure ends after the image does.
    #[error("the image is cut off: it ends within {0}")]
    CutOff(String),
    /// A structure is not as the standard says.
    #[error("the image is damaged: {0}")]
    Damaged(String),
    /// A name that no honest tool writes.
    #[error("the image has a bad name in it: {0}")]
    Name(String),
    /// A folder that is inside of itself, or in two places.
    #[error("the image's folders run in circles at {0:?}")]
    Circle(String),
    /// Two files share some of their bytes, but not all.
    #[error("files of the image overlap: {0:?} and {1:?}")]
    Overlap(String, String),
    /// One of the bounds.
    #[error("the image is refused: too many {0}")]
    TooMuch(&'static str),
}
