//! What the store promises, asked of SQLite and of PostgreSQL alike.

mod agents;
mod call_lists;
mod calls;
mod campaigns;
mod check;
mod checkpoint;
mod companies;
mod db;
mod dialling;
mod directory;
mod do_not_call;
mod idempotency;
mod inbound;
mod journal;
mod migrations;
mod postgres_only;
mod recipients;
mod stats;

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
    agents::an_agent_whose_making_was_cut_short_is_found,
    agents::agents_are_listed_and_counted_by_company,
    call_lists::calls_are_listed_by_what_is_asked,
    call_lists::pages_of_calls_miss_none_and_repeat_none,
    dialling::a_slot_is_held_then_rests,
    dialling::another_number_of_slots_counts_at_once,
    dialling::a_dead_nodes_slot_frees_itself_and_stays_the_next_ones,
    dialling::nodes_that_race_for_slots_share_them,
    dialling::slots_are_a_companys_own_and_go_with_it,
    dialling::a_companys_pace_is_read_as_it_stands,
    campaigns::a_campaign_is_stored_from_first_to_last,
    campaigns::a_campaign_moves_only_where_it_may,
    campaigns::a_cancel_may_be_said_again_and_only_adds,
    campaigns::rules_change_only_in_the_place_of_those_that_were_seen,
    campaigns::campaigns_are_listed_newest_first_by_state,
    campaigns::campaigns_of_a_node_that_is_gone_go_to_one_other,
    campaigns::a_draft_goes_and_a_campaign_stays,
    recipients::recipients_are_stored_as_they_were_given,
    recipients::results_are_read_a_page_at_a_time,
    recipients::a_recipient_is_claimed_with_its_call_or_not_at_all,
    recipients::only_who_runs_a_campaign_claims_for_it,
    recipients::who_does_not_want_to_be_called_is_not_claimed,
    recipients::of_many_claims_at_once_one_counts,
    recipients::claims_and_settlements_at_once_are_counted,
    recipients::an_attempt_is_settled_with_how_it_ended,
    recipients::everybody_who_waits_is_settled_and_nobody_else,
    recipients::how_calls_ended_is_found_by_their_ids,
    recipients::a_hundred_thousand_are_stored_and_deleted,
    recipients::a_company_goes_with_its_campaigns,
    idempotency::a_request_is_carried_out_once,
    idempotency::a_released_or_old_key_is_to_be_had_again,
    idempotency::of_many_claims_at_once_one_wins,
    idempotency::a_dead_nodes_request_is_taken_over_once,
    stats::requests_are_counted_for_whom_they_speak,
    stats::the_newest_thousand_are_kept_of_each_company,
    stats::a_call_is_told_and_counted_once,
    stats::two_nodes_count_the_same_calls_without_an_error,
    directory::a_company_is_made_shown_and_changed,
    directory::companies_are_listed_by_their_numbers,
    directory::companies_made_at_once_get_numbers_of_their_own,
    directory::a_number_reaches_one_company,
    directory::health_finds_the_first_company_with_both_vendors,
    directory::a_removed_company_leaves_nothing_but_what_was_counted,
    do_not_call::a_number_is_on_the_list_of_its_company_until_it_is_taken_off,
    do_not_call::numbers_that_are_known_or_named_twice_stay_as_they_were,
    do_not_call::a_hundred_thousand_numbers_are_listed_in_pages,
    do_not_call::many_who_add_the_same_numbers_add_each_once,
    migrations::calls_of_the_first_version_are_counted_and_listed,
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
    calls::the_first_word_on_who_took_a_call_stands,
    calls::whoever_wants_no_calls_is_put_on_the_list_once,
    calls::a_timeline_keeps_its_order,
    calls::two_writers_of_one_timeline_leave_no_gap,
    calls::lines_of_an_unknown_call_are_refused_whole,
    calls::two_stores_write_at_once,
    calls::orphans_go_to_the_node_that_takes_them,
    companies::secrets_are_sealed_and_resealed,
    companies::a_missing_key_is_named,
    companies::a_secret_copied_to_another_row_does_not_open,
    inbound::a_call_that_comes_in_is_stored_once,
    inbound::two_nodes_that_are_asked_at_once_store_one_call,
    inbound::a_number_leads_to_its_company,
    check::a_database_is_looked_at_as_it_is,
    check::a_database_that_may_only_be_read_is_told,
    journal::the_journal_writes_everything_in_order,
    journal::an_entry_that_cannot_be_written_blocks_nothing,
    journal::what_is_queued_counts_as_claimed,
    journal::an_outage_costs_nothing_but_time,
}
