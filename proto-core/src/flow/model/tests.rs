use super::*;

const RTT: Duration = Duration::from_millis(50);

/// A model that was told of this rate for some rounds, and the time.
fn settled(rate: u64) -> (Model, Instant) {
    let (mut model, mut now) = (Model::default(), Instant::from_micros(1));
    for _ in 0..20 {
        now += RTT;
        model.update(now, rate, true, 0, RTT, None);
    }
    (model, now)
}

#[test]
fn start_up_doubles_until_the_rate_grows_no_more() {
    let mut model = Model::default();
    assert_eq!(model.pace(), None);
    let mut now = Instant::from_micros(1);
    for round in 0..8 {
        now += RTT;
        model.update(now, 100_000 << round, true, 0, RTT, None);
        assert_eq!(model.pace(), Some((100_000 << round) * 2885 / 1000));
    }
    for _ in 0..3 {
        assert_eq!(model.state, State::Startup);
        model.update(now, 100_000 << 7, true, usize::MAX, RTT, None);
    }
    assert_eq!(model.state, State::Drain);
    assert!(model.pace() < Some(100_000 << 7));
    model.update(now, 100_000 << 7, false, 1000, RTT, None);
    assert_eq!(model.state, State::Probe(2));
}

#[test]
fn the_cycle_asks_for_what_was_measured_on_average() {
    assert_eq!(CYCLE.iter().sum::<u64>(), 1000 * CYCLE.len() as u64);
    let (mut model, mut now) = settled(12_500_000);
    let mut sum = 0;
    for _ in 0..32 {
        now += RTT;
        model.update(now, 12_500_000, true, usize::MAX, RTT, None);
        let pace = model.pace().unwrap();
        assert!([9_375_000, 12_500_000, 15_625_000].contains(&pace));
        sum += pace;
    }
    assert_eq!(sum, 32 * 12_500_000);
}

#[test]
fn the_window_is_two_bandwidth_delay_products_and_slack_within_bounds() {
    let (model, _) = settled(12_500_000);
    assert_eq!(model.window(RTT), 1_250_000 + 125_000);
    assert_eq!(model.in_flight(RTT), 625_000);
    let (slow, _) = settled(1);
    assert_eq!(slow.window(RTT), FLOOR);
    let (fast, _) = settled(u64::MAX);
    assert_eq!(fast.window(Duration::from_secs(9)), CEILING);
}

#[test]
fn marks_lower_the_bound_to_what_the_path_holds_and_it_comes_back_without_them() {
    let (mut model, mut now) = settled(12_500_000);
    let usual = model.window(RTT);
    model.heed(now, 100_000, 1_000_000, 1_200_000, RTT, false);
    assert_eq!(model.window(RTT), 1_050_000, "an eighth less");
    model.heed(now, 1, 1_000_000, 1_200_000, RTT, false);
    assert_eq!(model.window(RTT), 1_050_000 - 1_050_000 / 32);
    for _ in 0..100 {
        now += RTT;
        model.heed(now, 900_000, 1_000_000, usize::MAX, RTT, false);
    }
    assert_eq!(model.window(RTT), 625_000 + 31_250);
    model.heed(now, 0, 1_000_000, usize::MAX, RTT, false);
    let least = model.window(RTT);
    assert_eq!(least, 625_000 + 31_250, "no round trip was measured");
    for _ in 0..100 {
        model.took(RTT);
        model.heed(now, 0, 1_000_000, usize::MAX, RTT, false);
    }
    assert_eq!(model.window(RTT), usual);
}

#[test]
fn a_marked_round_never_raises_the_window() {
    for rate in [20_000, 12_500_000] {
        let (mut model, now) = settled(rate);
        for _ in 0..100 {
            model.took(RTT * 20);
            model.heed(now, 0, 1000, 100_000, RTT, false);
        }
        let window = model.window(RTT);
        for (marked, outstanding) in [(1, 0), (900, 10_000), (1, 2_000_000)] {
            model.heed(now, marked, 1000, outstanding, RTT, false);
            assert!(model.window(RTT) <= window, "{rate}: {window}");
        }
    }
}

#[test]
fn what_marks_everything_is_not_heeded_for_long() {
    let (mut model, mut now) = settled(12_500_000);
    for _ in 0..MEANINGLESS {
        assert!(!matches!(model.state, State::Startup));
        now += RTT;
        model.heed(now, 1000, 1000, 600_000, RTT, false);
    }
    assert_eq!((model.state, model.bound), (State::Startup, None));
    model.heed(now, 1000, 1000, 600_000, RTT, false);
    assert_eq!(model.bound, None);
}

#[test]
fn start_up_ends_after_two_rounds_that_came_marked() {
    let mut model = Model::default();
    let mut now = Instant::from_micros(1);
    for (round, marked) in [(1, 900), (2, 0), (3, 900), (4, 900)] {
        assert_eq!(model.state, State::Startup, "round {round}");
        now += RTT;
        model.heed(now, marked, 1000, 1000, RTT, false);
        model.update(now, 100_000 << round, true, usize::MAX, RTT, None);
    }
    assert_eq!(model.state, State::Drain);
}

#[test]
fn a_queue_that_stands_lowers_the_window_and_a_short_one_does_not() {
    let (mut model, _) = settled(12_500_000);
    let usual = model.window(RTT);
    for (queue, falls) in [(2, false), (6, false), (20, true), (2, false)] {
        for _ in 0..200 {
            model.took(RTT + Duration::from_millis(30));
            model.took(RTT + Duration::from_millis(queue));
            model.heed(Instant::ZERO, 0, 1_000_000, 1_200_000, RTT, false);
        }
        assert_eq!(model.window(RTT) < usual, falls);
    }
}

#[test]
fn a_stale_round_trip_is_measured_once_the_queue_is_gone() {
    let (mut model, now) = settled(12_500_000);
    let (queued, late) = (RTT + RTT, now + Duration::from_secs(1));
    model.update(now, 12_500_000, false, 900_000, queued, Some(RTT));
    assert_eq!(model.window(queued), 312_500, "half of what the path held");
    model.update(late, 12_500_000, false, 312_501, queued, None);
    model.update(late, 12_500_000, false, 312_500, RTT, None);
    assert_eq!(model.window(RTT), 312_500);
    model.update(late + PROBE_RTT, 12_500_000, false, 0, RTT, None);
    assert_eq!(model.state, State::Probe(2));
    model.bound = Some(queue::LEAST);
    for (longer, reopened) in [(RTT * 5 / 4 + TURN, false), (RTT * 2, true)] {
        model.update(now, 12_500_000, false, 0, longer, Some(RTT));
        model.update(now, 12_500_000, false, 0, longer, None);
        model.update(now + longer * 2, 12_500_000, false, 0, longer, None);
        assert_eq!(model.bound.is_none(), reopened);
    }
    let far = Duration::from_secs(9);
    model.update(late, 12_500_000, false, usize::MAX, far, Some(far));
    assert_eq!(model.window(far), CEILING);
}
