//! One run and what belongs to it.

use crate::kinds::{
    BusinessImpact, ErrorCategory, FeedbackCategory, Sentiment, Severity, Status, TriggerSource,
};

/// The 16 bytes of a UUID in network order, as Postgres stores them.
pub type Uuid = [u8; 16];

/// A run of an agent. Text is borrowed from the workload: only an error allocates.
#[derive(Clone, Debug, PartialEq)]
pub struct Run<'w> {
    /// Place of the run in the workload: 0 up to, not including, the number of runs.
    pub index: u64,
    /// UUID version 7 of `started_at`, so that the table's key grows at its right edge.
    pub run_id: Uuid,
    /// Index into [`crate::Workload::workspaces`].
    pub workspace: usize,
    /// Id of that workspace.
    pub workspace_id: Uuid,
    /// Index into [`crate::Workload::agents`].
    pub agent: usize,
    /// Id of that agent.
    pub agent_id: Uuid,
    /// Release of the agent that was current when the run started.
    pub agent_version: &'w str,
    /// Who ran it; the agent's owner when a schedule or a webhook did.
    pub user_id: Uuid,
    /// Runs of one user with one agent in the same quarter of an hour, their retries and sub-runs.
    pub session_id: SessionId,
    /// The failed run that this one retries, or the run that started this sub-run.
    pub parent_run_id: Option<Uuid>,
    /// 1, or 2 and 3 for retries.
    pub attempt: u8,
    /// State of the run.
    pub status: Status,
    /// What started it; `agent` for sub-runs.
    pub trigger_source: TriggerSource,
    /// Higher goes first: 1 to 9.
    pub priority: i16,
    /// Start in microseconds since 1970; for a queued run the time it was queued.
    pub started_at: i64,
    /// End in microseconds since 1970; none while queued or running.
    pub completed_at: Option<i64>,
    /// `completed_at - started_at` in seconds; none while queued or running.
    pub runtime_seconds: Option<f64>,
    /// Time in the queue before `started_at`, in microseconds; none while queued.
    pub queue_wait_micros: Option<i64>,
    /// Runs of the workspace that were under way together, this one included: an estimate.
    pub concurrent_runs: i32,
    /// Tokens read; present together with the other two token counts or not at all.
    pub prompt_tokens: Option<i64>,
    /// Tokens written.
    pub completion_tokens: Option<i64>,
    /// Prompt and completion together; unknown for a few finished runs and for all unfinished.
    pub tokens_used: Option<i64>,
    /// Model that did the work.
    pub model_name: &'static str,
    /// Who serves the model.
    pub model_provider: &'static str,
    /// Credits in millionths, so that `numeric` is exact; zero while unfinished.
    pub credits_micros: i64,
    /// Present exactly when the status is `failed` or `timeout`.
    pub error: Option<RunError>,
    /// What the user said about it.
    pub feedback: Option<Feedback>,
}

impl Run<'_> {
    /// When the run entered the queue, in microseconds since 1970.
    pub fn queued_at(&self) -> i64 {
        self.started_at - self.queue_wait_micros.unwrap_or(0)
    }

    /// The rating of the feedback, which the run's own row repeats.
    pub fn user_rating(&self) -> Option<i16> {
        self.feedback.as_ref().map(|feedback| feedback.rating)
    }
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq)]
pub struct RunError {
    /// Category of the error.
    pub category: ErrorCategory,
    /// Severity of the error.
    pub severity: Severity,
    /// Name of the exception.
    pub error_type: &'static str,
    /// A template of its category with ids, addresses and numbers filled in.
    pub message: String,
    /// Stack trace, where the runtime gave one.
    pub stack: Option<&'static str>,
    /// Whether the service came back by itself; independent of retries.
    pub auto_recovered: bool,
    /// How often recovery was tried.
    pub recovery_attempts: i32,
    /// How long it took; present exactly when recovered.
    pub recovery_time_seconds: Option<f64>,
    /// Users who noticed, at least one.
    pub affected_users: i32,
    /// Cost to the business.
    pub business_impact: BusinessImpact,
}

/// What a user said about a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Feedback {
    /// When, in microseconds since 1970: after the run, inside the window.
    pub created_at: i64,
    /// 1 to 5.
    pub rating: i16,
    /// What it is about.
    pub category: FeedbackCategory,
    /// Tone, following the rating.
    pub sentiment: Sentiment,
    /// -1 to 1 with two decimals, of the sign of the sentiment.
    pub sentiment_score: f64,
    /// The user's words; half of the users give none.
    pub comment: Option<&'static str>,
}

/// A short text such as `s-4f7k2m9q0xw3`, held inline so that a run needs no allocation for it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId([u8; SessionId::LENGTH]);

impl SessionId {
    const LENGTH: usize = 14;

    /// Spells 60 bits in Crockford's base 32.
    pub(crate) fn from_bits(mut bits: u64) -> Self {
        const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let mut text = *b"s-000000000000";
        for letter in &mut text[2..] {
            *letter = ALPHABET[(bits & 31) as usize];
            bits >>= 5;
        }
        Self(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        // Only ASCII is ever stored, so the default is never taken.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl std::fmt::Display for SessionId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl std::fmt::Debug for SessionId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::SessionId;

    #[test]
    fn session_ids_are_readable() {
        assert_eq!(SessionId::from_bits(0).as_str(), "s-000000000000");
        assert_eq!(SessionId::from_bits(u64::MAX).as_str(), "s-zzzzzzzzzzzz");
        assert_eq!(SessionId::from_bits(33).to_string(), "s-110000000000");
    }
}
