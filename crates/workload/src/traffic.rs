//! When runs happen: how many in each hour, and where in the hour each of them starts.

use crate::incidents::Incident;
use crate::numbers::{apportion, cumulate, index, nearest, whole};
use crate::params::Params;
use crate::random::{Rng, Stream};
use crate::time::{HOUR, MINUTE, hour_of_day, is_weekend};
use crate::workspace::Workspace;

/// Traffic of a workspace by its local hour.
const DAY_RHYTHM: [f64; 24] = [
    0.22, 0.18, 0.16, 0.15, 0.16, 0.22, 0.38, 0.70, 1.20, 1.70, 1.95, 1.90, 1.55, 1.65, 1.90, 1.85,
    1.60, 1.25, 0.90, 0.70, 0.58, 0.48, 0.38, 0.28,
];
/// Saturday and Sunday, against a working day.
const WEEKEND: f64 = 0.35;
/// Traffic at the start and at the end of the window, against its middle.
const GROWTH: [f64; 2] = [0.7, 1.3];
/// Every hour of every workspace is up to this far off its rhythm.
const NOISE: f64 = 0.12;

/// The runs of every hour.
#[derive(Debug)]
pub(crate) struct Traffic {
    seed: u64,
    start_micros: i64,
    end_micros: i64,
    /// Entry h is the index of the first run of hour h; the last entry is the number of runs.
    first_run: Vec<u64>,
}

/// What does not change within an hour.
pub(crate) struct Hour {
    start_micros: i64,
    first_run: u64,
    end_run: u64,
    /// Cumulative weights of the workspaces.
    workspaces: Vec<u64>,
    /// Cumulative weights of the minutes.
    minutes: Vec<u64>,
}

impl Traffic {
    pub(crate) fn new(params: &Params, workspaces: &[Workspace], incidents: &[Incident]) -> Self {
        let start_micros = params.start_micros();
        let mut traffic = Self {
            seed: params.seed,
            start_micros,
            end_micros: params.floored_end(),
            first_run: Vec::new(),
        };
        let weights = (0..u64::from(params.hours())).map(|hour| {
            let of_workspace = traffic.workspace_weights(hour, workspaces, incidents);
            of_workspace.sum()
        });
        traffic.first_run = apportion(weights, params.runs);
        traffic
    }

    /// The hour in which a run takes its turn.
    pub(crate) fn hour_of(&self, run: u64) -> u64 {
        let hours_begun = self.first_run.partition_point(|&first| first <= run);
        (hours_begun as u64).saturating_sub(1)
    }

    pub(crate) fn hour(&self, hour: u64, workspaces: &[Workspace], incidents: &[Incident]) -> Hour {
        let place = index(hour);
        let weights = self.workspace_weights(hour, workspaces, incidents);
        Hour {
            start_micros: self.hour_start(hour),
            first_run: self.first_run[place],
            end_run: self.first_run[place + 1],
            workspaces: cumulate(weights),
            minutes: self.minute_weights(hour),
        }
    }

    fn hour_start(&self, hour: u64) -> i64 {
        self.start_micros + hour.cast_signed() * HOUR
    }

    fn workspace_weights(
        &self,
        hour: u64,
        workspaces: &[Workspace],
        incidents: &[Incident],
    ) -> impl Iterator<Item = u64> {
        let at = self.hour_start(hour);
        let mut noise = Rng::keyed(self.seed, Stream::Rhythm, hour);
        let growth = self.growth(at);
        let happening: Vec<&Incident> = incidents
            .iter()
            .filter(|incident| (incident.start_micros..incident.end_micros).contains(&at))
            .collect();
        workspaces
            .iter()
            .enumerate()
            .map(move |(index, workspace)| {
                let here = happening
                    .iter()
                    .filter(|incident| incident.workspace == index);
                let incident: f64 = here.map(|incident| incident.traffic_factor()).product();
                let noise = noise.range(1.0 - NOISE, 1.0 + NOISE);
                whole(workspace.size as f64 * rhythm(workspace, at) * growth * incident * noise)
                    .max(1)
            })
    }

    fn growth(&self, at: i64) -> f64 {
        let part = (at - self.start_micros) as f64 / (self.end_micros - self.start_micros) as f64;
        GROWTH[0] + (GROWTH[1] - GROWTH[0]) * part
    }

    /// Minutes differ at random; schedules make the full hour and its quarters busier.
    fn minute_weights(&self, hour: u64) -> Vec<u64> {
        let mut rng = Rng::keyed(self.seed, Stream::Minute, hour);
        cumulate((0..60).map(|minute| {
            let schedules = match minute {
                0 => 900,
                15 | 30 | 45 => 400,
                _ => 0,
            };
            600 + schedules + rng.below(800)
        }))
    }
}

fn rhythm(workspace: &Workspace, at: i64) -> f64 {
    let local = at + workspace.utc_offset_minutes * MINUTE;
    DAY_RHYTHM[hour_of_day(local)] * if is_weekend(local) { WEEKEND } else { 1.0 }
}

impl Hour {
    pub(crate) fn holds(&self, run: u64) -> bool {
        run < self.end_run
    }

    pub(crate) fn pick_workspace(&self, rng: &mut Rng) -> usize {
        rng.weighted(&self.workspaces)
    }

    /// Runs per second of one workspace.
    pub(crate) fn rate(&self, workspace: usize) -> f64 {
        let before = workspace
            .checked_sub(1)
            .map_or(0, |previous| self.workspaces[previous]);
        let total = self.workspaces.last().copied().unwrap_or(1) as f64;
        let share = (self.workspaces[workspace] - before) as f64 / total;
        share * (self.end_run - self.first_run) as f64 / 3_600.0
    }

    /// Where a run's turn comes. The hour is cut into as many parts of equal traffic as it has
    /// runs, and each starts somewhere in its own part: so time order needs no sorting.
    pub(crate) fn time_of(&self, run: u64, rng: &mut Rng) -> i64 {
        let parts = (self.end_run - self.first_run) as f64;
        let part = (run - self.first_run) as f64 + rng.unit();
        let total = self.minutes.last().copied().unwrap_or(1) as f64;
        let point = part / parts * total;
        let minute = self
            .minutes
            .partition_point(|&bound| bound as f64 <= point)
            .min(59);
        let before = minute
            .checked_sub(1)
            .map_or(0, |previous| self.minutes[previous]) as f64;
        let within = (point - before) / (self.minutes[minute] as f64 - before);
        let micros = nearest((minute as f64 + within) * MINUTE as f64);
        self.start_micros + micros.clamp(0, HOUR - 1)
    }
}
