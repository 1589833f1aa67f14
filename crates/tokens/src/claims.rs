//! What a token says about its bearer.

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The last second of the year 9999: what comes after it is no time that a clock will show.
const LAST_SECOND: f64 = 253_402_300_799.0;

/// How much the bearer may do, from the least to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Reads.
    Viewer,
    /// Also exports and writes runs.
    Member,
    /// Also manages alerts and reports and moves agents.
    Admin,
    /// Also manages members.
    Owner,
}

impl Level {
    /// The name that the claim and the database use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// The level of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Viewer, Self::Member, Self::Admin, Self::Owner]
            .into_iter()
            .find(|level| level.name() == name)
    }
}

/// `aud`: one name, or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Audience {
    /// The usual form.
    One(String),
    /// Allowed by RFC 7519.
    Many(Vec<String>),
}

impl Audience {
    /// Whether a name is among them.
    pub fn contains(&self, name: &str) -> bool {
        match self {
            Self::One(audience) => audience == name,
            Self::Many(audiences) => audiences.iter().any(|audience| audience == name),
        }
    }
}

/// The claims that count here. Others are ignored, a claim that comes twice is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The user.
    pub sub: Uuid,
    /// How to reach the user; never used to decide anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The workspace that the user works in.
    #[serde(
        rename = "workspaceId",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub workspace_id: Option<Uuid>,
    /// All workspaces that the token opens.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub workspaces: Vec<Uuid>,
    /// Level in each of these workspaces.
    pub role: Level,
    /// What the level is narrowed to; `None` leaves it as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Vec<String>>,
    /// Seconds since 1970 at which the token was issued.
    #[serde(
        default,
        deserialize_with = "optional_time",
        skip_serializing_if = "Option::is_none"
    )]
    pub iat: Option<i64>,
    /// Seconds since 1970 before which it is not valid.
    #[serde(
        default,
        deserialize_with = "optional_time",
        skip_serializing_if = "Option::is_none"
    )]
    pub nbf: Option<i64>,
    /// Seconds since 1970 at which it ends.
    #[serde(deserialize_with = "time")]
    pub exp: i64,
    /// Name of this one token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// Name of the login that this token and its successors come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// Who issued it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// For whom it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aud: Option<Audience>,
}

impl Claims {
    /// Every workspace that the token names, without repetition.
    pub fn all_workspaces(&self) -> Vec<Uuid> {
        let mut all = self.workspaces.clone();
        all.extend(self.workspace_id);
        all.sort_unstable();
        all.dedup();
        all
    }
}

fn null_is_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Uuid>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A `NumericDate` of RFC 7519, which may have a fraction; whole seconds are enough here.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    whole_seconds(f64::deserialize(deserializer)?)
        .ok_or_else(|| D::Error::custom("a time lies outside of the years 1970 to 9999"))
}

fn optional_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    Option::<f64>::deserialize(deserializer)?
        .map(|seconds| {
            whole_seconds(seconds)
                .ok_or_else(|| D::Error::custom("a time lies outside of the years 1970 to 9999"))
        })
        .transpose()
}

fn whole_seconds(seconds: f64) -> Option<i64> {
    #[allow(clippy::cast_possible_truncation)] // the range was checked
    (0.0..=LAST_SECOND)
        .contains(&seconds)
        .then_some(seconds.floor() as i64)
}
