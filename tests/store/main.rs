//! What the store promises, asked of SQLite and of PostgreSQL alike.

mod agents;
mod call_lists;
mod calls;
mod companies;
mod db;
mod journal;
mod postgres_only;

use db::Db;

/// Makes a test of each function for either engine.
macro_rules! on_both_engines {
    ($($module:ident :: $test:ident,)*) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $test() {
                crate::$module::$test(crate::Db::sqlite()).await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            #[ignore = "needs PostgreSQL: run ./scripts/test"]
            async fn $test() {
                crate::$module::$test(crate::Db::postgres().await).await;
            })*
        }
    };
}

on_both_engines! {
    agents::an_agent_is_stored_from_first_to_last,
    agents::a_deleted_agent_is_found_no_more,
    agents::agents_are_listed_and_counted_by_company,
    call_lists::calls_are_listed_by_what_is_asked,
    call_lists::pages_of_calls_miss_none_and_repeat_none,
    companies::keys_are_listed_newest_first,
    calls::a_second_start_finds_the_first_ones_data,
    companies::a_company_is_refreshed_field_by_field,
    companies::two_nodes_that_start_at_once_refresh_a_company,
    companies::a_company_has_the_documented_defaults,
    companies::a_new_configuration_needs_its_credentials,
    companies::api_keys_are_found_by_hash_until_revoked,
    calls::a_call_is_stored_from_first_to_last,
    calls::a_call_only_moves_forward,
    calls::a_call_that_is_over_stays_as_it_is,
    calls::an_end_fills_in_what_a_callback_could_not_know,
    calls::of_many_ends_at_once_one_counts,
    calls::calls_are_found_by_twilios_id,
    calls::a_timeline_keeps_its_order,
    calls::two_writers_of_one_timeline_leave_no_gap,
    calls::lines_of_an_unknown_call_are_refused_whole,
    calls::two_stores_write_at_once,
    calls::orphans_go_to_the_node_that_takes_them,
    companies::secrets_are_sealed_and_resealed,
    companies::a_missing_key_is_named,
    companies::a_secret_copied_to_another_row_does_not_open,
    journal::the_journal_writes_everything_in_order,
    journal::an_entry_that_cannot_be_written_blocks_nothing,
    journal::what_is_queued_counts_as_claimed,
    journal::an_outage_costs_nothing_but_time,
}
