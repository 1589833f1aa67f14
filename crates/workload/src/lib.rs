//! A seeded, deterministic workload that looks like the traffic of real AI agents, at any scale
//! from a few runs to 100 million.
//!
//! ```
//! # fn main() -> Result<(), workload::ParamError> {
//! use workload::{Params, Workload};
//!
//! let workload = Workload::new(Params { runs: 1_000, ..Params::default() })?;
//! for chunk in 0..workload.chunk_count() {
//!     for run in workload.runs(chunk) {
//!         assert!(run.started_at < workload.end_micros());
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What holds for every workload
//!
//! * Equal [`Params`] give equal runs, in every process and on every platform: the random numbers
//!   are `SplitMix64`, and logarithms and the like come from the `libm` crate, not from the system.
//!   Whoever changes what comes out raises [`GENERATOR_VERSION`]; a checksum in the tests watches.
//! * Chunks are independent: each is a function of the parameters and its number, to be generated
//!   alone, in any order, in parallel, in memory that does not grow with the number of runs.
//! * The number of runs is exact, retries and sub-runs included.
//! * Runs and feedback never leave the window, except that a run may have entered the queue just
//!   before it. Runs are in time order, within a chunk and from chunk to chunk.
//!
//! # The truth that tests can look for
//!
//! * [`Workload::workspaces`]: sizes fall as 1 / rank^0.7. Working hours in the workspace's zone
//!   (standard time) are busiest, weekends have 35 % of a working day's traffic, and traffic grows
//!   by 86 % (0.7 to 1.3) over the window; each hour of a workspace is up to 12 % off.
//! * [`Workload::agents`]: success, timeout and cancellation rates, the median runtime of completed
//!   runs, the shares of the models and the median tokens of completed runs are fields of
//!   [`Agent`]. They hold for all finished runs outside incidents, retries included. Popularity
//!   falls as 1 / rank^0.9 among the agents of a workspace. The two most popular of each are in
//!   production throughout; of the others 56 % are in production, 10 % staging, 10 % testing, 6 %
//!   draft, 11 % deprecated, 7 % archived. No run starts before its agent was created or after it
//!   was retired.
//! * [`Workload::incidents`]: what went wrong, where and when; the rule is at [`Incident`].
//! * Failures: rate limits 21 %, model errors 18 %, network 14 %, validation 14 %, user errors 10 %,
//!   resources 8 %, timeouts of tools 6 %, unknown 5 %, authentication 4 %; runs cut off by their
//!   own limit have the status `timeout` and come on top. Six tenths of those that failed for a
//!   passing reason (not validation, authentication or the user) are retried, at most twice; seven
//!   tenths of an orchestrator's good runs start one to three sub-runs. Both share the session and
//!   the user of their parent. What would fall beyond the end of a chunk is left out.
//! * Feedback: 16 % of the runs that users start, 3 % by API, 1 % of the rest. Ratings centre on 4.3
//!   after success and on 1.7 otherwise, less 0.45 for each e-folding above the typical runtime.
//! * Of the finished runs 4 % have no token counts; [`Run::concurrent_runs`] is an estimate.
//! * The last two runs of a workload of at least 1,000 are queued and the two before are running.

mod agent;
mod catalog;
mod failure;
mod incidents;
mod kinds;
mod law;
mod life;
mod numbers;
mod opinion;
mod outcome;
mod params;
mod random;
mod releases;
mod run;
mod runs;
mod time;
mod traffic;
mod workload;
mod workspace;

pub use agent::{Agent, CANCEL_RATE, ModelUse};
pub use catalog::{MODELS, Model};
pub use incidents::Incident;
pub use kinds::{
    BusinessImpact, ErrorCategory, FeedbackCategory, IncidentKind, LifecycleState, Plan, Sentiment,
    Severity, Status, TriggerSource,
};
pub use law::RuntimeLaw;
pub use params::{ParamError, Params};
pub use releases::Version;
pub use run::{Feedback, Run, RunError, SessionId, Uuid};
pub use runs::Runs;
pub use workload::{RUNS_PER_CHUNK, Workload};
pub use workspace::Workspace;

/// Version of the algorithm: raised by every change that gives other runs for equal parameters.
pub const GENERATOR_VERSION: u32 = 1;
