//! Boards of workspaces. They are computed with the rights of the tables' owner, because no tenant may see the data of
//! all workspaces, and returned without the details of workspaces that are not the caller's.

use pgrx::prelude::*;

use crate::access::row_security::passes_row_security;
use crate::access::{members, workspaces_of_caller};
use crate::errors::given;
use crate::query::read_rows;
use crate::roles::as_role;
use crate::workspaces::require_workspace;
use tokens::Level;

type Known<T> = Option<T>;

#[pg_extern(schema = "analytics_internal", stable, parallel_restricted)]
#[allow(clippy::type_complexity)] // the shape is the SQL signature
fn workspace_board(
    timeframe: Option<&str>,
    criteria: Option<&str>,
    ranking: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(rank, i64),
        name!(workspace_id, Known<pgrx::Uuid>),
        name!(workspace_name, Known<String>),
        name!(score, f64),
        name!(percentile, f64),
        name!(tier, String),
        name!(total_runs, Known<i64>),
        name!(success_rate, Known<f64>),
        name!(active_agents, Known<i64>),
        name!(board_size, i64),
    ),
> {
    let timeframe = given(timeframe, "timeframe");
    let criteria = given(criteria, "criteria");
    let sees_all = passes_row_security();
    let own = workspaces_of_caller(Level::Viewer);
    let rows = as_role(members::owner(), || {
        read_rows(
            "SELECT b.rank, b.workspace_id, b.name, b.shows_name, b.score, b.percentile, b.tier, b.total_runs, \
                    b.success_rate, b.active_agents, b.board_size \
             FROM analytics_internal.workspace_board_rows($1, $2, $3) AS b",
            &[timeframe.into(), criteria.into(), ranking.into()],
            |row| {
                let workspace: Option<pgrx::Uuid> = row.get(2);
                let known = sees_all
                    || row.get(4) == Some(true)
                    || workspace.is_some_and(|id| own.contains(&id));
                Some((
                    row.get(1)?,
                    workspace.filter(|_| known),
                    row.get(3).filter(|_| known),
                    row.get(5)?,
                    row.get(6)?,
                    row.get(7)?,
                    row.get(8).filter(|_| known),
                    row.get(9).filter(|_| known),
                    row.get(10).filter(|_| known),
                    row.get(11)?,
                ))
            },
        )
    });
    TableIterator::new(rows.into_iter().flatten())
}

#[pg_extern(schema = "analytics_internal", stable, parallel_restricted)]
fn explain_workspace(
    workspace_id: Option<pgrx::Uuid>,
    timeframe: Option<&str>,
    criteria: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(step, i32),
        name!(term, String),
        name!(value, f64),
        name!(meaning, String),
    ),
> {
    require_workspace(workspace_id);
    let timeframe = given(timeframe, "timeframe");
    let criteria = given(criteria, "criteria");
    let rows = as_role(members::owner(), || {
        read_rows(
            "SELECT t.step, t.term, t.value, t.meaning \
             FROM analytics_internal.workspace_board_terms($1, $2, $3) AS t",
            &[workspace_id.into(), timeframe.into(), criteria.into()],
            |row| Some((row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)),
        )
    });
    TableIterator::new(rows.into_iter().flatten())
}
