//! One suite for every [`longshore::engine::Engine`]: what Longshore relies on, as sentences. Each runs on the simulated engine, in
//! virtual time, and on the Docker Engine that answers here. Where the two differ, the simulated one is wrong.

mod common;
mod conformance;

macro_rules! on_every_engine {
    ($($module:ident: $($case:ident),* $(,)?;)*) => {
        mod simulated {
            $($(
                #[tokio::test(start_paused = true)]
                async fn $case() {
                    let engine = crate::conformance::simulated().await;
                    let ns = crate::common::Namespace::new();
                    ns.run(&*engine, crate::conformance::$module::$case(&*engine, &ns)).await;
                }
            )*)*
        }

        mod docker {
            $($(
                #[tokio::test]
                async fn $case() {
                    if let Some(engine) = crate::common::docker().await {
                        let ns = crate::common::Namespace::new();
                        ns.run(&*engine, crate::conformance::$module::$case(&*engine, &ns)).await;
                    }
                }
            )*)*
        }
    };
}

on_every_engine! {
    containers:
        an_engine_describes_itself_the_same_way_twice,
        a_created_container_is_as_it_was_asked_for,
        labels_select_containers,
        a_missing_image_is_not_found,
        a_taken_name_is_a_conflict_that_names_the_owner,
        an_invalid_name_is_refused,
        too_little_memory_is_refused,
        a_program_that_does_not_exist_fails_the_start_and_leaves_the_reason,
        starting_what_runs_is_no_error,
        stopping_what_does_not_run_is_no_error,
        the_exit_code_of_an_ended_container_is_seen,
        a_process_without_a_handler_is_killed_at_the_stop_timeout,
        a_process_with_a_handler_ends_with_its_own_code,
        an_init_process_passes_the_signal_on,
        an_ended_container_starts_again,
        a_removed_container_is_not_found,
        a_running_container_is_removed_by_force,
        removals_at_once_leave_nothing,
        a_container_that_removes_itself_frees_its_name,
    ;
    health:
        without_a_check_health_is_unknown,
        a_passing_check_turns_unknown_to_healthy,
        failing_as_often_as_its_retries_makes_it_unhealthy_with_the_output,
        health_follows_what_the_check_finds,
        failures_in_the_start_period_do_not_count,
        a_check_that_takes_too_long_has_failed,
        an_ended_container_is_unhealthy,
        a_restart_begins_with_unknown_health,
    ;
    networks:
        a_network_is_made_found_and_removed,
        the_host_has_an_address_on_a_network,
        a_taken_network_name_is_a_conflict,
        a_network_in_use_cannot_be_removed_and_an_unused_one_can,
        a_missing_network_fails_the_start,
        a_container_has_an_address_while_it_runs,
        aliases_are_names_on_the_network,
        joining_a_namespace_takes_a_running_owner,
        a_joined_namespace_is_shared_and_lost_with_its_owner,
        what_a_joined_namespace_cannot_have_is_refused,
        a_fixed_port_is_published_once,
        dynamic_ports_differ_and_end_with_the_container,
        a_port_that_is_not_exposed_is_not_published,
    ;
    volumes:
        a_volume_is_made_once_found_and_removed,
        a_volume_in_use_cannot_be_removed,
        a_bound_volume_is_made_and_outlives_its_container,
        an_anonymous_volume_goes_with_its_container,
    ;
    images:
        an_imported_image_is_found_by_its_reference_and_its_id,
        an_imported_image_runs_as_its_changes_say,
        an_image_in_use_cannot_be_removed,
        a_registry_that_does_not_answer_is_told_apart,
    ;
    output:
        logs_keep_streams_apart_and_lines_in_order,
        the_tail_of_a_log_is_its_last_lines,
        a_log_can_be_read_since_an_instant,
        log_lines_carry_their_time_when_asked,
        a_followed_log_goes_on_to_the_end_of_the_container,
        a_log_goes_on_over_a_restart,
        a_driver_that_cannot_be_read_is_unsupported,
        the_environment_reaches_the_process,
        a_command_has_its_output_and_its_exit_code,
        a_command_reads_its_standard_input,
        a_command_that_runs_has_no_exit_code_and_ends_with_its_container,
        a_program_that_does_not_exist_is_no_command,
        a_command_needs_a_running_container,
        an_unknown_command_is_not_found,
        stats_are_one_sample_of_what_runs,
        who_joins_a_namespace_has_its_networks_in_its_stats,
        what_does_not_run_uses_nothing,
    ;
    stdin:
        a_container_ends_when_its_holder_lets_go,
        a_holder_that_attaches_late_holds_it_too,
        a_holder_that_let_go_before_the_start_ends_it_at_once,
        an_attachment_ends_with_its_container,
        a_lease_that_removes_itself_frees_its_name,
        nothing_attaches_to_a_missing_container,
    ;
    events:
        a_life_is_told_with_its_labels,
        events_since_an_instant_include_that_instant,
        networks_and_volumes_have_events,
    ;
}
