//! What can be wrong with a series or an option.

use std::fmt;

/// Every way in which this crate refuses its input.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// There are not as many times as values.
    Lengths {
        /// Number of times.
        times: usize,
        /// Number of values.
        values: usize,
    },
    /// A time occurs twice (index of the second in time order, as microseconds).
    DuplicateTime(i64),
    /// More values than an analysis takes.
    TooMany(usize),
    /// The series has so few values between its ends that most places are empty.
    TooSparse {
        /// Places between the first and the last time.
        places: u64,
        /// Values that are there.
        values: usize,
    },
    /// An option is outside of what it may be.
    Option {
        /// Its name in SQL.
        name: &'static str,
        /// What was given.
        value: String,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        hint: String,
    },
    /// The caller wanted to stop.
    Interrupted,
}

impl Error {
    /// An option that cannot be used.
    pub fn option(
        name: &'static str,
        value: impl fmt::Display,
        problem: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self::Option {
            name,
            value: value.to_string(),
            problem: problem.into(),
            hint: hint.into(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lengths { times, values } => {
                write!(f, "there are {times} times, but {values} values")
            }
            Self::DuplicateTime(_) => write!(f, "a time occurs more than once"),
            Self::TooMany(n) => write!(f, "{n} values are more than one analysis takes"),
            Self::TooSparse { places, values } => write!(
                f,
                "the series is too sparse: {values} values in {places} places of equal distance"
            ),
            Self::Option {
                name,
                value,
                problem,
                ..
            } => write!(f, "{name} \"{value}\" is not allowed: {problem}"),
            Self::Interrupted => write!(f, "the analysis was interrupted"),
        }
    }
}

impl std::error::Error for Error {}

/// Asked now and then during long work whether to go on; `Err(Interrupted)` ends it. A caller whose answer leaves by
/// another way (an exception, a long jump that unwinds) may do so from here: nothing is left half done.
pub trait Watch {
    /// Whether to go on.
    ///
    /// # Errors
    /// [`Error::Interrupted`] when not.
    fn check(&self) -> Result<(), Error>;
}

/// Never interrupts.
pub struct Unwatched;

impl Watch for Unwatched {
    fn check(&self) -> Result<(), Error> {
        Ok(())
    }
}

impl<F: Fn() -> Result<(), Error>> Watch for F {
    fn check(&self) -> Result<(), Error> {
        self()
    }
}
