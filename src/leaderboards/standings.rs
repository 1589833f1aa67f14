//! Boards as sets of rows.

use leaderboards::boards::{
    Agent, AgentCriterion, Criterion, Placed, Subject, Term, User, UserCriterion, Workspace,
    WorkspaceCriterion, explain, rank_boards,
};
use leaderboards::{Badge, Entry, Tier, rank};
use pgrx::prelude::*;

use super::subjects::{Column, Columns, Readable, Rows};
use super::{Named, known_criterion, known_method, known_minimum, refuse, refuse_board};
use crate::errors::given;

type Standing = (
    i32,
    i32,
    &'static str,
    pgrx::Uuid,
    i64,
    f64,
    f64,
    Option<&'static str>,
    i64,
);

/// What a place on a board is worth.
trait Awarding: Named {
    fn award(placed: &Placed<Self>) -> Option<&'static str>;
}

impl Awarding for AgentCriterion {
    fn award(placed: &Placed<Self>) -> Option<&'static str> {
        Badge::of(placed.standing.competition_rank, placed.score).map(Badge::name)
    }
}

impl Awarding for UserCriterion {
    fn award(_placed: &Placed<Self>) -> Option<&'static str> {
        None
    }
}

impl Awarding for WorkspaceCriterion {
    fn award(placed: &Placed<Self>) -> Option<&'static str> {
        Some(Tier::of(placed.standing.percentile).name())
    }
}

/// Ranks rows on the board of each timeframe and criterion, or of one criterion only.
#[pg_extern(schema = "analytics_internal", immutable, parallel_safe)]
#[allow(clippy::too_many_arguments, clippy::type_complexity)] // the shape is the SQL signature
fn board_standings(
    board: Option<&str>,
    timeframes: Option<Column<i32>>,
    entities: Option<Column<pgrx::Uuid>>,
    counts: Option<Column<i64>>,
    amounts: Option<Column<f64>>,
    criteria: default!(Option<&str>, "NULL"),
    minimum_runs: default!(Option<i32>, "NULL"),
    ranking: default!(Option<&str>, "'competition'"),
) -> TableIterator<
    'static,
    (
        name!(row_number, i32),
        name!(timeframe_number, i32),
        name!(criteria, &'static str),
        name!(entity_id, pgrx::Uuid),
        name!(rank, i64),
        name!(score, f64),
        name!(percentile, f64),
        name!(award, Option<&'static str>),
        name!(board_size, i64),
    ),
> {
    let columns = Columns {
        timeframes: timeframes.unwrap_or_default(),
        entities: entities.unwrap_or_default(),
        counts: counts.unwrap_or_default(),
        amounts: amounts.unwrap_or_default(),
    };
    let question = Question {
        criteria,
        minimum_runs: known_minimum(minimum_runs),
        ranking: known_method(ranking),
    };
    TableIterator::new(match board {
        Some("agent") => standings::<Agent>(&columns, &question),
        Some("user") => standings::<User>(&columns, &question),
        Some("workspace") => standings::<Workspace>(&columns, &question),
        _ => refuse_board(board),
    })
}

struct Question<'a> {
    criteria: Option<&'a str>,
    minimum_runs: u64,
    ranking: leaderboards::Method,
}

fn standings<S: Readable>(columns: &Columns, question: &Question) -> Vec<Standing>
where
    S::Criterion: Awarding,
{
    let only = question
        .criteria
        .map(|name| [known_criterion::<S::Criterion>(Some(name))]);
    let criteria = only.as_ref().map_or(S::Criterion::ALL, |only| only);
    let rows: Rows<S> = columns.rows();
    rank_boards(&rows, criteria, question.minimum_runs, question.ranking)
        .iter()
        .filter_map(|placed| {
            let row = rows.get(placed.row)?;
            Some((
                i32::try_from(placed.row).ok()?.checked_add(1)?,
                row.group,
                placed.criterion.name(),
                pgrx::Uuid::from_bytes(row.key),
                placed.standing.rank.cast_signed(),
                placed.score,
                placed.standing.percentile,
                S::Criterion::award(placed),
                placed.standing.board_size.cast_signed(),
            ))
        })
        .collect()
}

/// How the score of one row came about; no terms where it has nothing to be ranked by.
#[pg_extern(schema = "analytics_internal", immutable, parallel_safe)]
#[allow(clippy::too_many_arguments, clippy::type_complexity)] // the shape is the SQL signature
fn board_terms(
    board: Option<&str>,
    entity_id: Option<pgrx::Uuid>,
    criteria: Option<&str>,
    timeframes: Option<Column<i32>>,
    entities: Option<Column<pgrx::Uuid>>,
    counts: Option<Column<i64>>,
    amounts: Option<Column<f64>>,
) -> TableIterator<
    'static,
    (
        name!(step, i32),
        name!(term, &'static str),
        name!(value, f64),
        name!(meaning, &'static str),
    ),
> {
    let columns = Columns {
        timeframes: timeframes.unwrap_or_default(),
        entities: entities.unwrap_or_default(),
        counts: counts.unwrap_or_default(),
        amounts: amounts.unwrap_or_default(),
    };
    let entity_id = given(entity_id, "entity_id");
    let terms = match board {
        Some("agent") => terms::<Agent>(&columns, entity_id, criteria),
        Some("user") => terms::<User>(&columns, entity_id, criteria),
        Some("workspace") => terms::<Workspace>(&columns, entity_id, criteria),
        _ => refuse_board(board),
    };
    TableIterator::new(
        (1..)
            .zip(terms)
            .map(|(step, term)| (step, term.name, term.value, term.meaning)),
    )
}

fn terms<S: Readable>(columns: &Columns, entity: pgrx::Uuid, criteria: Option<&str>) -> Vec<Term>
where
    <S as Subject>::Criterion: Named,
{
    let criterion = known_criterion::<S::Criterion>(criteria);
    let rows: Rows<S> = columns.rows();
    let wanted = rows.iter().find(|row| row.key == *entity.as_bytes());
    wanted.map_or_else(Vec::new, |row| explain(&rows, row, criterion))
}

/// Any scores on any boards.
#[pg_extern(sql = false)]
#[allow(clippy::needless_pass_by_value, clippy::type_complexity)] // what pgrx makes of arrays; the SQL signature
fn rank_scores(
    boards: Option<Column<String>>,
    entities: Option<Column<pgrx::Uuid>>,
    scores: Option<Column<f64>>,
    ranking: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(board, String),
        name!(entity_id, pgrx::Uuid),
        name!(score, f64),
        name!(rank, i64),
        name!(percentile, f64),
        name!(board_size, i64),
    ),
> {
    let method = known_method(ranking);
    // What array_agg() makes of no rows.
    let boards = boards.unwrap_or_default();
    let entities = entities.unwrap_or_default();
    let scores = scores.unwrap_or_default();
    if boards.len() != entities.len() || boards.len() != scores.len() {
        let lengths = format!("{}, {}, {}", boards.len(), entities.len(), scores.len());
        refuse(
            "boards, entities, scores",
            Some(&lengths),
            "the arrays have different lengths",
            "Give three arrays that were aggregated from the same rows.",
        )
    }
    let mut names: Vec<&String> = boards.iter().flatten().collect();
    names.sort_unstable();
    names.dedup();
    let mut entries = Vec::with_capacity(scores.len());
    for ((board, entity), score) in boards.iter().zip(&entities).zip(&scores) {
        let (Some(board), Some(entity), Some(score)) = (board, entity, score) else {
            continue;
        };
        if !score.is_finite() {
            refuse(
                "scores",
                Some(&score.to_string()),
                "it is not a finite number",
                "Give NULL for what has no score: it gets no rank.",
            )
        }
        entries.push(Entry {
            board: names.binary_search(&board).unwrap_or_default(),
            key: *entity.as_bytes(),
            score: *score,
        });
    }
    let rows: Vec<_> = rank(&entries, method)
        .iter()
        .filter_map(|standing| {
            let entry = entries.get(standing.entry)?;
            Some((
                (*names.get(entry.board)?).clone(),
                pgrx::Uuid::from_bytes(entry.key),
                entry.score,
                standing.rank.cast_signed(),
                standing.percentile,
                standing.board_size.cast_signed(),
            ))
        })
        .collect();
    TableIterator::new(rows)
}
