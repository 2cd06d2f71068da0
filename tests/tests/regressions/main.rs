//! Defects of older implementations of this protocol, each by its symptom. What a test checks already is in the
//! table; the others are tests here, named by the symptom, which must not be seen.
//!
//! | Symptom | Where it is checked |
//! |---|---|
//! | a listener that is taken out twice takes another's place | `message-bus/tests/it/listeners.rs` `taking_out_twice_takes_nobody_else_out` |
//! | a listener that leaves during a delivery makes the next one miss it | `message-bus/tests/it/listeners.rs` `what_is_taken_out_during_a_delivery_still_gets_that_message_and_no_other` |
//! | progress does not lengthen the wait | `syncher/tests/it/observe.rs` `a_provisional_answer_is_patience_gained` |
//! | an answer without a code is waited beyond | `message-bus/tests/it/requests.rs` `an_answer_that_cannot_be_read_is_a_final_failure` |
//! | retries repeat the id, at once, and end without a word | `registry/tests/it/client.rs` `what_does_not_get_through_is_sent_again_and_then_given_up` |
//! | a message to nobody is dropped in silence | `message-bus/tests/it/dispatch.rs` `requests_to_nobody_are_answered_and_nothing_else_is_inv_msg_1` |
//! | within a runtime no policy is asked | `here/sync_manager.rs` `within_one_runtime_no_policy_is_asked` |
//! | routes of an object are never given up | `tests/tests/system/subscription.rs` `many_observers_of_a_runtime_cost_one_route_and_one_frame_inv_sub_4_inv_uns_3` |
//! | who is denied is not told | `tests/tests/system/policies.rs` `what_is_denied_is_answered_403_at_every_point_and_a_read_401` |
//! | a policy that fails lets in, or hangs | `tests/tests/system/policies.rs` `a_policy_that_hangs_denies_within_its_time` |
//! | anybody's update is taken | `tests/tests/doors.rs` `what_only_the_reporter_may_do` |
//! | one authorised hyperty opens an object to its domain | `here/sync_manager.rs` `one_authorised_hyperty_opens_the_object_to_its_whole_domain` |
//! | grants cover whatever begins alike | `sync-manager/src/reporter/grants.rs` `grants_cover_domains_and_users_never_prefixes` |
//! | anybody writes children, and is not answered | `tests/tests/doors.rs` `what_only_observers_and_a_childs_reporter_may_do` |
//! | a creation takes the address of another's object | `here/sync_manager.rs` `a_creation_takes_the_address_of_another_hypertys_object` |
//! | who was authorised at the creation is asked about | `here/sync_manager.rs` `the_authorised_of_a_creation_are_forgotten_and_asked_about` |
//! | without a user nothing works | `here/sync_manager.rs` `without_a_user_creations_and_subscriptions_fail` |
//! | a creation that fails inside is not answered and leaves its parts | `tests/tests/system/creation.rs` `a_creation_that_is_refused_at_any_step_leaves_nothing_inv_cre_2` |
//! | a resumed object listens to itself alone | `here/sync_manager.rs` `after_a_restart_of_the_reporter_nobody_new_and_no_child_gets_through` |
//! | a request that fails inside is never answered | `tests/tests/answers/main.rs` `a_creation_is_answered_once_i7` |
//! | invitations share an id, and their answers mix | `tests/src/protocol/runtime/cases/invitation.rs` `INV-INV-1/one-create-for-each` |
//! | anybody deletes; of the unknown nothing is said | `here/sync_manager.rs` `anybody_deletes_and_about_the_unknown_nothing_is_said` |
//! | who subscribes twice is there twice | `tests/src/protocol/runtime/cases/subscription.rs` `INV-SUB-5/again` |
//! | a refusal never reaches whoever asked | `tests/src/protocol/runtime/cases/subscription.rs` `INV-SUB-3/refused` |
//! | the second observer of a runtime gets nothing | `tests/src/protocol/runtime/cases/observing.rs` `INV-SUB-4/many-in-one-runtime` |
//! | a resumed observer gets nothing | `here/sync_manager.rs` `after_a_restart_an_observer_gets_neither_changes_nor_children` |
//! | who leaves takes its neighbours with it | `here/sync_manager.rs` `who_leaves_takes_its_neighbours_with_it` |
//! | leaving the unknown is not answered | `tests/src/protocol/runtime/cases/leaving.rs` `INV-UNS-1/unknown` |
//! | arrays are as they began after a restart | `here/storage.rs` `arrays_are_as_they_began_after_a_restart` |
//! | the routes of what is deleted stay | `here/sync_manager.rs` `the_routes_of_a_deleted_object_stay_at_the_node` |
//! | a deletion is sent and forgotten | `tests/tests/system/deletion.rs` `deletion_ends_with_all_observers_dead_inv_del_5` |
//! | who comes again has the dead routes of before | `tests/tests/system/again.rs` `who_subscribes_again_hears_of_children_though_a_handle_is_left_from_before` |
//! | a refused one is an observer after a restart | `here/sync_manager.rs` `a_refused_subscriber_is_an_observer_after_a_restart` |
//! | who left is kept, and its leaving not answered | `tests/tests/system/subscription.rs` `nothing_of_an_observer_that_left_stays_with_the_reporter_inv_uns_2` |
//! | a deletion is told once for each observer | `tests/src/protocol/runtime/cases/deletion.rs` `INV-DEL-2/everybody-is-told` |
//! | the first child after a subscription is lost | `here/syncher.rs` `what_changes_while_somebody_subscribes_is_lost` |
//! | an observer that left is sent everything still | `tests/src/protocol/runtime/cases/leaving.rs` `INV-UNS-3/at-the-observer` |
//! | nothing is resumed without being asked | `tests/tests/system/recovery.rs` `an_observer_that_crashed_comes_back_to_the_reporters_state_inv_res_2` |
//! | a resume without criteria fails | `syncher/tests/it/resume.rs` `nothing_to_resume_is_no_failure` |
//! | a read that fails gives nothing; elsewhere nothing is read | `here/syncher.rs` `a_read_that_fails_gives_nothing_at_all_and_elsewhere_nothing_is_read` |
//! | a subscription without an answer leaves a half object | `syncher/tests/it/observe.rs` `a_subscription_that_is_answered_too_late_is_ended` |
//! | a question about an unknown object is fatal | `syncher/tests/it/create.rs` `a_forward_for_an_unknown_object_is_answered_404` |
//! | an invitation without a handler is not answered | `syncher/tests/it/invitations.rs` `no_decision_commits_to_nothing` |
//! | a deletion is told twice | `syncher/tests/it/observe.rs` `a_deleted_object_ends_with_one_event_and_one_unsubscription` |
//! | changes before the answer to a subscription are lost | `tests/src/protocol/runtime/cases/observing.rs` `INV-SUB-1/changes-before-the-answer` |
//! | deleted and changed children stay as they were | `here/syncher.rs` `changed_and_deleted_children_stay_as_they_were_for_everybody_else` |
//! | after nine children an id is used again | `here/syncher.rs` `after_nine_children_an_id_is_used_again` |
//! | a change while nobody listens is a gap for ever | `tests/tests/system/recovery.rs` `a_reporter_cut_off_announces_its_position_when_it_is_back` |
//! | a child raises the version of its object | `here/syncher.rs` `a_change_of_a_child_raises_the_version_of_its_object` |
//! | a gap is logged and applied over | `syncher/tests/it/repair.rs` `a_gap_is_made_up_for_by_the_missing_changes` |
//! | nested arrays are flattened, removed elements stay | `here/syncher.rs` `arrays_in_arrays_are_flattened_and_removed_elements_stay` |
//! | a handle that is given up leaves its listeners | `syncher/tests/it/lifetime.rs` `the_last_handle_takes_the_object_with_it` |
//! | without a handler nobody is answered | `here/syncher.rs` `who_asks_an_application_without_handlers_waits_for_ever` |
//! | a large read fails, or ends by its timer alone | `tests/tests/system/bulk.rs` `ten_megabytes_of_data_are_observed_repaired_and_resumed_inv_read_2` |
//! | a state has no children in it | `tests/src/protocol/runtime/cases/children.rs` `INV-CHD-1/snapshot-of-children` |
//! | removed attributes are back after a repair | `here/syncher.rs` `attributes_that_were_removed_are_back_after_a_repair` |
//! | operations on children are never answered | `syncher/tests/it/children.rs` `a_child_exists_at_once_and_its_operations_end_on_the_sync_managers_answer` |
//! | what is told as stored is not | `tests/tests/system/kept.rs` `a_change_is_durable_before_it_is_published_inv_dom_7` |
//! | children and removals are not stored, or wiped by the next | `here/storage.rs` `stored_children_are_wiped_by_the_next_one` |
//! | false, 0, "" and null are not stored | `here/storage.rs` `values_that_count_as_nothing_are_not_stored` |
//! | from another hyperty nothing can be resumed | `tests/tests/system/takeover.rs` `another_hyperty_of_the_user_takes_over_and_observers_follow_inv_res_1` |
//! | criteria about data are dropped; one of several is enough | `tests/tests/system/takeover.rs` `criteria_choose_by_schema_resource_metadata_and_data` |
//! | what matches nothing gives everything of the domain | `tests/tests/system/takeover.rs` `nobody_takes_what_is_another_users` |
//! | who comes back first has everything of its user | `here/sync_manager.rs` `whoever_comes_back_first_has_everything_of_its_user` |
//! | without a node nothing is resumed | `here/sync_manager.rs` `without_its_node_a_runtime_resumes_nothing` |
//! | a registration that fails makes the creation hang | `tests/src/protocol/runtime/cases/creation.rs` `INV-CRE-2/registry-mute` |
//! | schemas are those that were built in | `registry/tests/it/catalogue.rs` `a_published_schema_is_found_by_another_runtime` |
//! | what merely begins like a local address is local | `registry/tests/it/runtime.rs` `a_prefix_is_not_locality_inv_adr_3` |
//! | an unregistration counts as a sign of life | `registry/src/table/request.rs` `every_form_of_an_unregistration_is_understood` |
//! | what the registry forgot is never registered again | `here/registry.rs` `a_registry_that_forgot_never_hears_of_an_object_again_but_of_deleted_ones` |
//! | a deleted object becomes live again | `tests/tests/system/deletion.rs` `a_deleted_object_is_never_shown_live_again_inv_del_3` |
//! | runtimes share their addresses; released ones stay taken | `address-allocation/tests/table.rs` `what_is_held_is_never_drawn_again_inv_all_1` |
//! | a release in another form is ignored | `tests/src/protocol/node/allocation.rs` `INV-ALL-3/release-in-every-form` |
//! | messages for one runtime go to another that begins alike | `tests/src/protocol/node/routing.rs` `INV-ADR-3/whole-segments` |
//! | a second open is given the session of the first | `message-node/tests/node/sessions.rs` `a_second_open_of_a_live_runtime_is_409_unless_the_token_matches` |
//! | the routes of a lost session stay | `tests/src/protocol/node/sessions.rs` `INV-MN-3/grace-is-over` |
//! | a timeout of the registry is told as a failure | `registry/src/client/node.rs` `a_timeout_of_the_bus_is_told_from_the_registrys_own` |
//! | a change of status reaches one receiver | `here/registry.rs` `a_change_of_status_reaches_one_of_those_who_watch` |
//! | forms of the list of routes are not understood | `message-node/tests/node/routing.rs` `older_forms_of_the_list_are_understood` |
//! | the first speaker claims any address; before open the node fails | `message-node/tests/node/authority.rs` `first_use_binds_stubs_and_hyperties_only_m16` |
//! | an unreadable frame is answered with no number, or not | `message-node/tests/node/bad_input.rs` `bad_frames_are_answered_400_and_the_session_goes_on` |
//! | a malformed allocation is fatal | `address-allocation/tests/table.rs` `malformed_requests_are_refused_and_allocate_nothing` |
//! | a session that comes back has nothing and is told 200 | `message-node/tests/node/sessions.rs` `re_open_inherits_routes_and_what_waited` |
//! | objects are found by one scheme alone, never by user | `here/registry.rs` `objects_are_found_by_one_scheme_alone_and_never_by_their_user` |
//! | every keep-alive is told as a change | `tests/src/protocol/node/registry.rs` `INV-REG-2/one-event-per-change` |
//! | a stub comes back at once, for ever, without its routes | `protostub/tests/stub/session.rs` `a_refused_token_leads_to_a_fresh_session_that_is_told_everything_inv_ses_1_and_2` |
//! | an unreachable node is tried without a pause | `protostub/tests/stub/session.rs` `a_refused_open_is_told_and_tried_again_ever_more_slowly` |
//! | who observes is not known | `tests/tests/system/actions.rs` `the_reporter_sees_who_observes` |
//! | a Reporter cannot remove an observer | `tests/tests/system/removal.rs` `who_is_removed_sees_reads_and_subscribes_nothing_any_more` |

mod registry;
mod storage;
mod support;
mod sync_manager;
mod syncher;

/// A row of the table that names no test would claim what nothing checks.
#[test]
fn the_table_names_tests_that_there_are() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let mut rows = 0;
    for line in
        include_str!("main.rs").lines().filter(|line| line.starts_with("//! | ") && line.contains('`'))
    {
        let mut named = line.split('`').skip(1).step_by(2);
        let (Some(file), Some(name)) = (named.next(), named.next()) else { panic!("{line}") };
        let path = format!("{root}/{}", file.replace("here/", "tests/tests/regressions/"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(
            text.contains(&format!("fn {name}("))
                || text.contains(&format!("\"{name}\""))
                || text.contains(&format!("{name}:")),
            "{path} has no {name}"
        );
        rows += 1;
    }
    assert!(rows > 80, "{rows} rows");
}
