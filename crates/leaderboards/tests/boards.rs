//! The boards against plain counting, and properties that fair rankings have.

#![allow(missing_docs)]
#![allow(
    clippy::unwrap_used,
    clippy::float_cmp,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

use leaderboards::boards::{
    Agent, AgentCriterion, Criterion, Placed, Row, Subject, User, UserCriterion, Workspace,
    WorkspaceCriterion, explain, rank_boards,
};
use leaderboards::formulas::wilson_lower_bound;
use leaderboards::{Entry, Method, rank};
use proptest::prelude::*;

/// What SQL's window functions say: by comparing every pair.
fn plain(entries: &[Entry<u8, u32>], index: usize) -> (u64, u64, u64, f64) {
    let me = entries[index];
    let peers: Vec<_> = entries
        .iter()
        .enumerate()
        .filter(|(i, e)| e.board == me.board && *i != index)
        .map(|(_, e)| e)
        .collect();
    let count =
        |keep: &dyn Fn(&Entry<u8, u32>) -> bool| peers.iter().filter(|e| keep(e)).count() as u64;
    let better = count(&|e| e.score > me.score);
    let mut better_scores: Vec<f64> = peers
        .iter()
        .map(|e| e.score)
        .filter(|s| *s > me.score)
        .collect();
    better_scores.sort_by(f64::total_cmp);
    better_scores.dedup();
    let before = better + count(&|e| e.score == me.score && e.key < me.key);
    let lower = count(&|e| e.score < me.score) as f64;
    let ties = count(&|e| e.score == me.score) as f64;
    let percentile = if peers.is_empty() {
        50.0
    } else {
        100.0 * (lower + ties / 2.0) / peers.len() as f64
    };
    (
        1 + better,
        1 + better_scores.len() as u64,
        1 + before,
        percentile,
    )
}

fn entries() -> impl Strategy<Value = Vec<Entry<u8, u32>>> {
    // Few scores and boards: ties are what is difficult.
    prop::collection::vec((0..4_u8, -3..4_i8), 0..60).prop_map(|rows| {
        (0_u32..)
            .zip(rows)
            .map(|(key, (board, score))| Entry {
                board,
                key,
                score: f64::from(score) / 2.0,
            })
            .collect()
    })
}

fn agent() -> impl Strategy<Value = Agent> {
    let counts = (0..200_u64, 0..200_u64, 0..200_u64, 0..200_u64, 0..50_u64);
    let amounts = (0.0..1e4_f64, 0.0..1e3_f64, 0.0..1e3_f64);
    (counts, amounts).prop_map(
        |((unfinished, finished, successful, timed, users), (seconds, median, credits))| Agent {
            total_runs: unfinished + finished,
            finished_runs: finished,
            successful_runs: successful.min(finished),
            timed_runs: timed.min(finished),
            total_seconds: seconds,
            median_seconds: median,
            credits_consumed: credits,
            unique_users: users,
        },
    )
}

fn rows(most: usize) -> impl Strategy<Value = Vec<Row<u32, Agent>>> {
    prop::collection::vec((0..3_i32, agent()), 0..most).prop_map(|rows| {
        (0..)
            .zip(rows)
            .map(|(key, (group, subject))| Row {
                group,
                key,
                subject,
            })
            .collect()
    })
}

/// Who stands where with what, in the order of the boards, whatever the order of the rows was.
fn standings<S: Subject>(
    rows: &[Row<u32, S>],
    placed: &[Placed<S::Criterion>],
) -> Vec<(i32, S::Criterion, u32, u64, u64, u64)> {
    placed
        .iter()
        .map(|p| {
            let row = &rows[p.row];
            (
                row.group,
                p.criterion,
                row.key,
                p.standing.rank,
                p.score.to_bits(),
                p.standing.percentile.to_bits(),
            )
        })
        .collect()
}

fn all_agents(rows: &[Row<u32, Agent>]) -> Vec<Placed<AgentCriterion>> {
    rank_boards(rows, AgentCriterion::ALL, 0, Method::Competition)
}

/// Numbers that no application should send, and some that one will.
fn any_amount() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(0.0),
        Just(-1.0),
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
        Just(f64::MAX),
        Just(f64::MIN_POSITIVE),
        Just(5e-324),
        0.0..1e6_f64,
        any::<f64>(),
    ]
}

fn any_count() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just(1),
        Just(u64::MAX),
        Just(u64::MAX / 2),
        0..1000_u64,
        any::<u64>()
    ]
}

proptest! {
    #[test]
    fn ranks_are_those_of_window_functions(entries in entries()) {
        for (method, pick) in [(Method::Competition, 0), (Method::Dense, 1), (Method::Ordinal, 2)] {
            let standings = rank(&entries, method);
            prop_assert_eq!(standings.len(), entries.len());
            for standing in &standings {
                let (competition, dense, ordinal, percentile) = plain(&entries, standing.entry);
                prop_assert_eq!(standing.rank, [competition, dense, ordinal][pick]);
                prop_assert_eq!(standing.competition_rank, competition);
                prop_assert_eq!(standing.percentile, percentile);
            }
            // In the order of the boards.
            let order: Vec<_> = standings.iter().map(|s| (entries[s.entry].board, plain(&entries, s.entry).2)).collect();
            prop_assert!(order.is_sorted());
        }
    }

    #[test]
    fn the_order_of_the_input_changes_nothing(rows in rows(40), seed in any::<u64>()) {
        let mut shuffled = rows.clone();
        let mut state = seed | 1;
        for i in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            shuffled.swap(i, (state >> 33) as usize % (i + 1));
        }
        let mut ours = standings(&rows, &all_agents(&rows));
        let mut theirs = standings(&shuffled, &all_agents(&shuffled));
        prop_assert_eq!(&ours, &theirs);
        ours.sort_unstable();
        theirs.sort_unstable();
        prop_assert_eq!(ours, theirs);
    }

    /// Speed has the peers' median as a common factor, which moves all scores and no rank. Efficiency compares with the
    /// peers' average: there it holds among those with the same number of runs, see below.
    #[test]
    fn a_loser_does_not_change_the_winners(rows in rows(25)) {
        let group = |rows: &[Row<u32, Agent>], criterion| {
            let placed = rank_boards(rows, &[criterion], 0, Method::Competition);
            standings(rows, &placed).into_iter().map(|(g, _, key, rank, score, _)| {
                (g, key, rank, if criterion == AgentCriterion::Speed { 0 } else { score })
            }).collect::<Vec<_>>()
        };
        for criterion in [AgentCriterion::Runs, AgentCriterion::SuccessRate, AgentCriterion::Popularity, AgentCriterion::Speed] {
            let before = group(&rows, criterion);
            let mut more = rows.clone();
            more.push(Row { group: 0, key: u32::MAX, subject: Agent { total_runs: 1, finished_runs: 1,
                timed_runs: 1, total_seconds: 1e6, median_seconds: 1e6, ..Agent::default() } });
            let mut after = group(&more, criterion);
            after.retain(|(_, key, _, _)| *key != u32::MAX);
            prop_assert_eq!(before, after, "{:?}", criterion);
        }
    }

    #[test]
    fn a_loser_does_not_change_the_order_of_equal_evidence(
        medians in prop::collection::vec(0.01..100.0_f64, 2..20), runs in 1..100_u64, slow in 100.0..1e6_f64,
    ) {
        let row = |key, median| Row { group: 0, key, subject: Agent {
            total_runs: runs, finished_runs: runs, successful_runs: runs / 2, timed_runs: runs,
            total_seconds: median * runs as f64, median_seconds: median, credits_consumed: median, unique_users: 1,
        } };
        let rows: Vec<_> = (0..).zip(medians).map(|(key, median)| row(key, median)).collect();
        let mut more = rows.clone();
        more.push(row(u32::MAX, slow));
        for criterion in [AgentCriterion::Speed, AgentCriterion::Efficiency] {
            let order = |rows: &[Row<u32, Agent>]| -> Vec<u32> {
                rank_boards(rows, &[criterion], 0, Method::Competition).iter().map(|p| rows[p.row].key).collect()
            };
            let mut after = order(&more);
            prop_assert_eq!(after.pop(), Some(u32::MAX));
            prop_assert_eq!(order(&rows), after);
        }
    }

    #[test]
    fn more_successes_never_lower_a_score(agent in agent(), more in 1..100_u64) {
        let peers = Agent::peers([agent].iter());
        // Failures that turn out to be successes, and successes that come on top.
        let turned = Agent { successful_runs: (agent.successful_runs + more).min(agent.finished_runs), ..agent };
        let added = Agent {
            total_runs: agent.total_runs + more,
            finished_runs: agent.finished_runs + more,
            successful_runs: agent.successful_runs + more,
            ..agent
        };
        let of = |agent: &Agent, criterion| agent.score(criterion, &peers, &mut leaderboards::boards::Deaf).unwrap_or(0.0);
        for criterion in AgentCriterion::ALL {
            prop_assert!(of(&turned, *criterion) >= of(&agent, *criterion), "{:?}", criterion);
        }
        for criterion in [AgentCriterion::Runs, AgentCriterion::SuccessRate] {
            prop_assert!(of(&added, criterion) >= of(&agent, criterion), "{:?}", criterion);
        }
        // A failure on top never raises it.
        let failed = Agent { total_runs: agent.total_runs + more, finished_runs: agent.finished_runs + more, ..agent };
        prop_assert!(of(&failed, AgentCriterion::SuccessRate) <= of(&agent, AgentCriterion::SuccessRate));
    }

    #[test]
    fn wilson_rises_with_successes(trials in 1..1_000_000_u64, share in 0.0..1.0_f64) {
        let successes = (trials as f64 * share) as u64;
        let bound = wilson_lower_bound(successes, trials);
        prop_assert!(bound <= successes as f64 / trials as f64);
        if successes < trials {
            prop_assert!(wilson_lower_bound(successes + 1, trials) > bound);
        }
        prop_assert!(successes == 0 || wilson_lower_bound(successes, trials + 1) < bound);
        // The same share counts more with more runs.
        prop_assert!(wilson_lower_bound(successes * 2, trials * 2) >= bound);
    }

    #[test]
    fn scores_are_finite(
        counts in prop::collection::vec((any_count(), any_count(), any_count(), any_count(), any_count()), 1..6),
        amounts in prop::collection::vec((any_amount(), any_amount(), any_amount()), 6),
    ) {
        let together: Vec<_> = counts.into_iter().zip(amounts).collect();
        let agents: Vec<Agent> = together.iter().map(|((total, finished, successful, timed, users), (seconds, median, credits))| Agent {
            total_runs: *total, finished_runs: *finished, successful_runs: *successful, timed_runs: *timed,
            total_seconds: *seconds, median_seconds: *median, credits_consumed: *credits, unique_users: *users,
        }).collect();
        let users: Vec<User> = together.iter().map(|((total, finished, successful, _, _), (credits, expected, _))| User {
            total_runs: *total, finished_runs: *finished, successful_runs: *successful,
            credits_consumed: *credits, expected_credits: *expected,
        }).collect();
        let workspaces: Vec<Workspace> = together.iter().map(|((total, finished, successful, timed, previous), (seconds, _, credits))| Workspace {
            total_runs: *total, finished_runs: *finished, successful_runs: *successful, timed_runs: *timed,
            total_seconds: *seconds, credits_consumed: *credits, current_runs: *total, previous_runs: *previous,
            active_agents: *timed, new_agents: *finished,
        }).collect();
        all_finite(&agents)?;
        all_finite(&users)?;
        all_finite(&workspaces)?;
    }

    #[test]
    fn an_explanation_ends_with_the_score(rows in rows(20)) {
        for placed in all_agents(&rows) {
            let terms = explain(&rows, &rows[placed.row], placed.criterion);
            let last = terms.last().unwrap();
            prop_assert_eq!((last.name, last.value), ("score", placed.score));
            prop_assert!(terms.len() > 1);
        }
    }

    #[test]
    fn evidence_decides_who_is_on_the_board(rows in rows(30), minimum in 0..100_u64) {
        let placed = rank_boards(&rows, AgentCriterion::ALL, minimum, Method::Competition);
        for criterion in AgentCriterion::ALL {
            let mut on: Vec<usize> = placed.iter().filter(|p| p.criterion == *criterion).map(|p| p.row).collect();
            on.sort_unstable();
            let expected: Vec<usize> = (0..rows.len()).filter(|index| {
                let agent = rows[*index].subject;
                agent.total_runs > 0 && match criterion {
                    AgentCriterion::Runs | AgentCriterion::Popularity => true,
                    AgentCriterion::SuccessRate | AgentCriterion::Efficiency => agent.finished_runs >= minimum.max(1),
                    AgentCriterion::Speed => agent.timed_runs >= minimum.max(1),
                }
            }).collect();
            prop_assert_eq!(on, expected, "{:?}", criterion);
        }
    }
}

fn all_finite<S: Subject + Copy>(subjects: &[S]) -> Result<(), TestCaseError> {
    let rows: Vec<Row<u32, S>> = (0..)
        .zip(subjects)
        .map(|(key, subject)| Row {
            group: 0,
            key,
            subject: *subject,
        })
        .collect();
    for placed in rank_boards(&rows, S::Criterion::ALL, 0, Method::Competition) {
        prop_assert!(placed.score.is_finite(), "{}", placed.criterion.name());
        prop_assert!((0.0..=100.0).contains(&placed.standing.percentile));
        for term in explain(&rows, &rows[placed.row], placed.criterion) {
            prop_assert!(
                term.value.is_finite(),
                "{} of {}",
                term.name,
                placed.criterion.name()
            );
        }
    }
    Ok(())
}

fn agents(subjects: &[Agent]) -> Vec<Row<u32, Agent>> {
    (0..)
        .zip(subjects)
        .map(|(key, subject)| Row {
            group: 7,
            key,
            subject: *subject,
        })
        .collect()
}

/// Keys in the order of a board.
fn order(subjects: &[Agent], criterion: AgentCriterion) -> Vec<u32> {
    let rows = agents(subjects);
    rank_boards(&rows, &[criterion], 0, Method::Competition)
        .iter()
        .map(|placed| rows[placed.row].key)
        .collect()
}

fn runs(total: u64, successful: u64) -> Agent {
    Agent {
        total_runs: total,
        finished_runs: total,
        successful_runs: successful,
        ..Agent::default()
    }
}

#[test]
fn one_lucky_run_does_not_lead() {
    assert_eq!(
        order(
            &[runs(1, 1), runs(1000, 980), runs(50, 40)],
            AgentCriterion::SuccessRate
        ),
        [1, 2, 0]
    );
    let timed = |n, median| Agent {
        timed_runs: n,
        median_seconds: median,
        ..runs(n, n)
    };
    // One run of a second says little: not even that it was faster than a thousand of nine seconds.
    assert_eq!(
        order(
            &[timed(1, 1.0), timed(1000, 1.2), timed(1000, 9.0)],
            AgentCriterion::Speed
        ),
        [1, 2, 0]
    );
}

#[test]
fn efficiency_is_success_for_money_and_time() {
    let spent = |credits, seconds, successful| Agent {
        credits_consumed: credits,
        total_seconds: seconds,
        timed_runs: 100,
        ..runs(100, successful)
    };
    let same = [spent(100.0, 100.0, 90), spent(100.0, 100.0, 90)];
    let rows = agents(&same);
    let placed = rank_boards(&rows, &[AgentCriterion::Efficiency], 0, Method::Competition);
    assert_eq!(placed[0].score, wilson_lower_bound(90, 100));
    assert_eq!(placed[0].standing.rank, placed[1].standing.rank);
    assert_eq!(
        order(
            &[
                spent(100.0, 100.0, 90),
                spent(50.0, 100.0, 90),
                spent(100.0, 100.0, 95),
                spent(100.0, 400.0, 90)
            ],
            AgentCriterion::Efficiency
        ),
        [1, 2, 0, 3]
    );
}

#[test]
fn boards_of_users() {
    let user = |total: u64, successful, credits, expected| User {
        total_runs: total,
        finished_runs: total,
        successful_runs: successful,
        credits_consumed: credits,
        expected_credits: expected,
    };
    let rows: Vec<Row<u32, User>> = (0..)
        .zip([
            user(10, 5, 30.0, 20.0),
            user(8, 8, 10.0, 16.0),
            user(2, 2, 4.0, 8.0),
        ])
        .map(|(key, subject)| Row {
            group: 0,
            key,
            subject,
        })
        .collect();
    let board = |criterion| {
        rank_boards(&rows, &[criterion], 0, Method::Competition)
            .iter()
            .map(|placed| (rows[placed.row].key, placed.score))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        board(UserCriterion::Activity),
        [(0, 10.0), (1, 8.0), (2, 2.0)]
    );
    assert_eq!(
        board(UserCriterion::Contribution),
        [(1, 8.0 / 15.0), (0, 5.0 / 15.0), (2, 2.0 / 15.0)]
    );
    assert_eq!(
        board(UserCriterion::Savings),
        [(1, 6.0), (2, 4.0), (0, -10.0)]
    );
    assert_eq!(board(UserCriterion::Efficiency)[0].0, 1);
}

#[test]
fn boards_of_workspaces() {
    let workspace = |total, previous, active, new| Workspace {
        total_runs: total,
        finished_runs: total,
        current_runs: total,
        previous_runs: previous,
        active_agents: active,
        new_agents: new,
        ..Workspace::default()
    };
    // Large and growing, tiny and tripled, asleep since the last period, never awake.
    let rows: Vec<Row<u32, Workspace>> = (0..)
        .zip([
            workspace(1500, 1000, 10, 1),
            workspace(3, 1, 1, 1),
            workspace(0, 100, 0, 0),
            workspace(0, 0, 0, 0),
        ])
        .map(|(key, subject)| Row {
            group: 0,
            key,
            subject,
        })
        .collect();
    let board = |criterion| {
        rank_boards(&rows, &[criterion], 0, Method::Competition)
            .iter()
            .map(|placed| (rows[placed.row].key, placed.score))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        board(WorkspaceCriterion::Growth),
        [(0, 500.0 / 1020.0), (1, 2.0 / 21.0), (2, -100.0 / 120.0)]
    );
    assert_eq!(
        board(WorkspaceCriterion::Innovation),
        [(1, 1.0 / 6.0), (0, 1.0 / 15.0)]
    );
    assert_eq!(board(WorkspaceCriterion::Activity), [(0, 1500.0), (1, 3.0)]);
}

#[test]
fn names_of_criteria() {
    fn check<C: Criterion + std::fmt::Debug>() {
        let names: Vec<&str> = C::ALL.iter().map(|criterion| criterion.name()).collect();
        assert_eq!(names.join(", "), C::NAMES);
        for criterion in C::ALL {
            assert_eq!(C::from_name(criterion.name()), Some(*criterion));
            assert!(!criterion.formula().is_empty());
        }
        assert_eq!(C::from_name("luck"), None);
    }
    check::<AgentCriterion>();
    check::<UserCriterion>();
    check::<WorkspaceCriterion>();
}
