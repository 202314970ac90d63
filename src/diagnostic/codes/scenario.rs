//! LS06xx: scenarios of `longshore simulate`.

codes! {
    SCENARIO

    SCENARIO_STEP "LS0601" Error "a step of a scenario does not do exactly one thing"
    why "\
Each step of a scenario has a time, `at`, and one thing that happens then: `edit`, `instanceDown`, `instanceUp`,
`partition`, `drain`, `activate`, `image`, `crash`, `kill` or `expect`. What happens at the same time is several steps
of that time; they are taken in the order in which they are written.

`longshore schema scenario` prints what each of them takes."
    wrong ""
    right ""

    SCENARIO_VALUE "LS0602" Error "a value of a scenario cannot be read"
    why "\
Times are numbers with a unit: `500ms`, `30s`, `1m30s`, `2h`. Memory is a number with `MiB` or `GiB`, CPU a number of
cores. An image `fails` as `pull`, `start`, `crash`, `unhealthy` or `slow 30s`, or it `works` again."
    wrong ""
    right ""

    SCENARIO_EXPECTATION "LS0603" Error "an expectation of a scenario cannot be read"
    why "\
An expectation says what must hold: `converged`, `healthy(web) >= 3`, `rolledBack(web)`, `not unplaceable`. It holds
at the time of its step, or `within 60s` of it, or all the time `for 2m` from it on, or `always` from it on.

docs/simulate.md lists what can be expected."
    wrong ""
    right ""

    SCENARIO_NAME "LS0604" Error "a scenario names what the folder does not have"
    why "\
A step, an instance's size or an expectation names a service or a container instance that the folder does not declare
(at any time of the scenario, its edits included), so it could never mean anything.

Where several clusters have one of that name, it is written with its cluster: `prod/web`."
    wrong ""
    right ""

    SCENARIO_EDIT "LS0605" Error "an edit of a scenario cannot be made"
    why "\
The edit does not apply to the folder: the folder that it names is not there or has errors of its own, it is not clear
which container's image it sets, or there is no member that it could set. The manifests are read again after each edit,
as Longshore would read them, so what `longshore validate` refuses is refused here."
    wrong ""
    right ""
}
