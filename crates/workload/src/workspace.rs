//! The workspaces: tenants of unequal size in different time zones.

use crate::catalog::{TIME_ZONES, workspace_name};
use crate::kinds::Plan;
use crate::numbers::whole;
use crate::random::{Rng, Stream};
use crate::run::Uuid;

/// A tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct Workspace {
    /// Id of the workspace.
    pub id: Uuid,
    /// Name of the workspace, unique in the workload.
    pub name: String,
    /// What it pays for.
    pub plan: Plan,
    /// IANA name of its time zone.
    pub time_zone: &'static str,
    /// Standard time of that zone; the workload knows no daylight saving.
    pub utc_offset_minutes: i64,
    /// Size relative to the other workspaces: sets its share of runs and of agents.
    pub size: u64,
}

pub(crate) fn make(seed: u64, count: u32) -> Vec<Workspace> {
    (0..count as usize)
        .map(|index| workspace(seed, index))
        .collect()
}

fn workspace(seed: u64, index: usize) -> Workspace {
    const PLANS: [Plan; 4] = [Plan::Enterprise, Plan::Team, Plan::Pro, Plan::Free];
    let (time_zone, utc_offset_minutes) = TIME_ZONES[index % TIME_ZONES.len()];
    Workspace {
        id: Rng::keyed(seed, Stream::Workspace, index as u64).uuid_v4(),
        name: workspace_name(index),
        plan: PLANS[index % PLANS.len()],
        time_zone,
        utc_offset_minutes,
        size: whole(1e6 * libm::pow(1.0 / (index as f64 + 1.0), 0.7)).max(1),
    }
}
