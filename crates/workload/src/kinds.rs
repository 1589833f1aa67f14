//! The allowed values of the text columns, as enums whose `as_str` is what the table holds.

macro_rules! text_enum {
    ($(#[$meta:meta])* $name:ident { $($variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $(#[doc = concat!("`", $text, "`")] $variant),+
        }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The value as the tables spell it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text),+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(self.as_str())
            }
        }
    };
}

text_enum! {
    /// State of a run.
    Status {
        Queued = "queued",
        Running = "running",
        Completed = "completed",
        Failed = "failed",
        Cancelled = "cancelled",
        Timeout = "timeout",
    }
}

impl Status {
    /// Whether the run is over: it has a completion time and a runtime.
    pub const fn is_finished(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }

    /// Whether the run ended with an error: exactly these runs carry a [`crate::RunError`].
    pub const fn is_error(self) -> bool {
        matches!(self, Self::Failed | Self::Timeout)
    }
}

text_enum! {
    /// What started a run.
    TriggerSource {
        User = "user",
        Api = "api",
        Schedule = "schedule",
        Webhook = "webhook",
        Agent = "agent",
    }
}

text_enum! {
    /// Category of an error.
    ErrorCategory {
        Timeout = "timeout",
        RateLimit = "rate_limit",
        Validation = "validation",
        ModelError = "model_error",
        Network = "network",
        Auth = "auth",
        Resource = "resource",
        UserError = "user_error",
        Unknown = "unknown",
    }
}

text_enum! {
    /// Severity of an error.
    Severity {
        Low = "low",
        Medium = "medium",
        High = "high",
        Critical = "critical",
    }
}

text_enum! {
    /// What an error cost the business.
    BusinessImpact {
        Low = "low",
        Medium = "medium",
        High = "high",
    }
}

text_enum! {
    /// What a user's feedback is about.
    FeedbackCategory {
        Speed = "speed",
        Accuracy = "accuracy",
        Reliability = "reliability",
        Usability = "usability",
        Cost = "cost",
        Documentation = "documentation",
        Other = "other",
    }
}

text_enum! {
    /// Tone of a user's feedback.
    Sentiment {
        Positive = "positive",
        Neutral = "neutral",
        Negative = "negative",
    }
}

text_enum! {
    /// What a workspace pays for.
    Plan {
        Free = "free",
        Pro = "pro",
        Team = "team",
        Enterprise = "enterprise",
    }
}

text_enum! {
    /// Lifecycle state of an agent at the end of the window.
    LifecycleState {
        Draft = "draft",
        Testing = "testing",
        Staging = "staging",
        Production = "production",
        Deprecated = "deprecated",
        Archived = "archived",
    }
}

text_enum! {
    /// What went wrong in an incident.
    IncidentKind {
        FailureSurge = "failure_surge",
        Latency = "latency",
        TrafficSpike = "traffic_spike",
        TrafficDrop = "traffic_drop",
        Outage = "outage",
    }
}
