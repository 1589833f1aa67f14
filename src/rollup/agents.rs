//! How many agents or users there are in a group, exactly. `count(DISTINCT)` would sort all rows of the group, with what they
//! carry, for it.

use std::collections::HashSet;

use crate::fmgr::place_state;
use crate::sql_functions;

type Agents = HashSet<[u8; 16]>;

sql_functions! {
    fn count_agents_transition(call) {
        let Some(agent) = call.uuid(1) else { return call.keep_state() };
        if let Some(agents) = call.state::<Agents>(0) {
            agents.insert(*agent.as_bytes());
            return call.keep_state();
        }
        place_state(Agents::from([*agent.as_bytes()]), call.aggregate_context())
    }

    fn count_agents_final(call) {
        let count = call.state::<Agents>(0).map_or(0, |agents| agents.len());
        call.give(i64::try_from(count).ok())
    }
}
