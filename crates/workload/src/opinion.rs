//! What users say about runs.

use crate::kinds::{FeedbackCategory, Sentiment, TriggerSource};
use crate::numbers::nearest;
use crate::random::Rng;
use crate::run::Feedback;
use crate::time::SECOND;

/// What a user sees of a run.
pub(crate) struct Impression {
    pub trigger: TriggerSource,
    pub completed_at: i64,
    pub is_success: bool,
    /// How many e-foldings slower than the agent's median.
    pub slowness: f64,
}

/// A share of the users speaks; users who wait for an answer far more often than schedules.
pub(crate) fn feedback(run: &Impression, window_end: i64, rng: &mut Rng) -> Option<Feedback> {
    let share = match run.trigger {
        TriggerSource::User => 0.16,
        TriggerSource::Api => 0.03,
        _ => 0.01,
    };
    if !rng.chance(share) {
        return None;
    }
    let delay = nearest(rng.exponential(900.0) * SECOND as f64);
    let created_at = run.completed_at + SECOND + delay;
    let opinion = rate(run, rng);
    (created_at < window_end).then(|| phrase(run, opinion, created_at, rng))
}

/// 1 to 5: success matters most, then speed, then the user.
fn rate(run: &Impression, rng: &mut Rng) -> f64 {
    let (mood, _) = rng.normal_pair();
    let base = if run.is_success { 4.3 } else { 1.7 };
    (base - 0.45 * run.slowness + 0.7 * mood)
        .round()
        .clamp(1.0, 5.0)
}

fn phrase(run: &Impression, rating: f64, created_at: i64, rng: &mut Rng) -> Feedback {
    let sentiment = match rating {
        4.0.. => Sentiment::Positive,
        3.0.. => Sentiment::Neutral,
        _ => Sentiment::Negative,
    };
    let category = topic(run, rng);
    let comment = rng.chance(0.5).then(|| comment(category, sentiment, rng));
    let score = match sentiment {
        Sentiment::Positive => rng.range(0.3, 1.0),
        Sentiment::Neutral => 0.0,
        Sentiment::Negative => -rng.range(0.3, 1.0),
    };
    Feedback {
        created_at,
        rating: i16::try_from(nearest(rating)).unwrap_or(3),
        category,
        sentiment,
        sentiment_score: (score * 100.0).round() / 100.0,
        comment,
    }
}

fn topic(run: &Impression, rng: &mut Rng) -> FeedbackCategory {
    // Cumulative weights in the order of the enum: a failure turns the talk to reliability, a slow
    // run to speed.
    let weights: [u64; 7] = if !run.is_success {
        [10, 25, 80, 86, 90, 94, 100]
    } else if run.slowness > 1.0 {
        [60, 75, 80, 88, 93, 95, 100]
    } else {
        [18, 60, 68, 84, 89, 93, 100]
    };
    FeedbackCategory::ALL[rng.weighted(&weights)]
}

fn comment(category: FeedbackCategory, sentiment: Sentiment, rng: &mut Rng) -> &'static str {
    use FeedbackCategory::{Accuracy, Cost, Documentation, Other, Reliability, Speed, Usability};
    let choices = match sentiment {
        Sentiment::Neutral => [
            "Does the job, nothing more.",
            "Fine, but I had to check it.",
        ],
        Sentiment::Positive => match category {
            Speed => ["Answer in seconds, great.", "Much faster than last month."],
            Accuracy => ["Every figure was right.", "Found the clause I had missed."],
            Reliability => ["Works every time.", "Has not failed me this week."],
            Usability => [
                "Easy to hand over to my team.",
                "Knew what I meant at once.",
            ],
            Cost => ["Worth every credit.", "Cheaper than doing it by hand."],
            Documentation => ["The examples helped a lot.", "Clear instructions."],
            Other => ["Thank you!", "Nice work."],
        },
        Sentiment::Negative => match category {
            Speed => ["Too slow to wait for.", "Went for coffee, still running."],
            Accuracy => ["The total is wrong.", "It made up a reference."],
            Reliability => ["Failed again, had to start over.", "It gave up half way."],
            Usability => ["It did not understand the question.", "Too many steps."],
            Cost => ["Too expensive for this answer.", "Used up my credits."],
            Documentation => ["The error tells me nothing.", "Where is this explained?"],
            Other => ["Not what I expected.", "Disappointing."],
        },
    };
    choices[usize::from(rng.chance(0.5))]
}
