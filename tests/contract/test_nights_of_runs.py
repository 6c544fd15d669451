"""The night of a run is what the run says, and no clock of the machine changes it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest


class TestNightOfARun:
    """The night is what the run says, and no clock of the machine changes it."""

    def context(self, **given: Any) -> dict[str, Any]:
        run_type = given.pop("run_type", "scheduled")
        return {"dag_run": SimpleNamespace(run_type=run_type), "params": {"night": None}, **given}

    @pytest.mark.fault(8)
    @pytest.mark.parametrize("zone", ["UTC", "Asia/Seoul", "America/New_York", "Pacific/Kiritimati"])
    @pytest.mark.parametrize(
        "night", ["2026-03-08", "2026-03-29", "2026-11-01", "2016-12-31", "2024-02-29"], ids=lambda night: f"on-{night}"
    )
    def test_time_zones_and_clock_changes_do_not_move_it(
        self, tasks_module: Any, monkeypatch: pytest.MonkeyPatch, zone: str, night: str
    ) -> None:
        import time
        from zoneinfo import ZoneInfo

        monkeypatch.setenv("TZ", zone)
        time.tzset()
        try:
            start = datetime.fromisoformat(f"{night}T00:00:00+00:00").astimezone(ZoneInfo(zone))
            assert tasks_module.night_of_run(self.context(data_interval_start=start)) == night
        finally:
            monkeypatch.undo()
            time.tzset()

    @pytest.mark.fault(51)
    @pytest.mark.ops
    @pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Africa/Cairo", "Australia/Lord_Howe"])
    @pytest.mark.parametrize("cron", ["0 0 * * *", "30 1 * * *", "30 2 * * *"])
    def test_a_schedule_in_another_time_zone_has_each_night_once_over_the_changes_of_its_clocks(
        self, tasks_module: Any, monkeypatch: pytest.MonkeyPatch, zone: str, cron: str
    ) -> None:
        import pendulum
        from airflow.serialization.encoders import coerce_to_core_timetable
        from airflow.timetables.base import TimeRestriction

        from ecclip.core import settings

        monkeypatch.setenv("ECCLIP_TIMEZONE", zone)
        monkeypatch.setenv("ECCLIP_SCHEDULE", cron)
        settings.cache_clear()
        timetable, run = coerce_to_core_timetable(tasks_module.nightly_schedule()), None
        restriction = TimeRestriction(pendulum.datetime(2026, 3, 1), None, True)
        nights = []
        for _ in range(260):  # from March to November: both changes of the year
            run = timetable.next_dagrun_info(last_automated_data_interval=run, restriction=restriction).data_interval
            nights.append(tasks_module.night_of_run(self.context(data_interval_start=run.start, run_type="scheduled")))
        first = date.fromisoformat(nights[0])
        assert nights == [(first + timedelta(days=number)).isoformat() for number in range(260)]

    def test_conf_goes_before_everything(self, tasks_module: Any) -> None:
        context = self.context(data_interval_start=datetime(2026, 5, 5, tzinfo=UTC)) | {
            "params": {"night": "2026-11-01"}
        }
        assert tasks_module.night_of_run(context) == "2026-11-01"

    def test_a_run_by_hand_means_its_logical_date(self, tasks_module: Any) -> None:
        from airflow.sdk.api.datamodels._generated import DagRunType

        context = self.context(
            run_type=DagRunType.MANUAL,
            logical_date=datetime(2026, 11, 2, tzinfo=UTC),
            data_interval_start=datetime(2026, 11, 1, tzinfo=UTC),
        )
        assert tasks_module.night_of_run(context) == "2026-11-02"

    def test_of_several_assets_that_wait_the_newest_night_is_taken(self, tasks_module: Any) -> None:
        events = [SimpleNamespace(extra={"night": night}) for night in ("2026-11-03", "2026-11-02")]
        context = self.context(triggering_asset_events={"snapshot": events}, run_type="asset_triggered")
        assert tasks_module.night_of_run(context) == "2026-11-03"

    def test_the_version_is_that_of_the_event_unless_conf_means_a_night_or_another_version(
        self, tasks_module: Any
    ) -> None:
        told = (("2026-11-03", "7"), ("2026-11-02", "6"), ("2026-11-03", "8"))
        events = [SimpleNamespace(extra={"night": night, "version": version}) for night, version in told]
        context = self.context(triggering_asset_events={"bundle": events}, run_type="asset_triggered")
        assert tasks_module.version_of_run(context) == "8"
        assert tasks_module.version_of_run(context | {"params": {"night": "2026-11-02"}}) is None
        assert tasks_module.version_of_run(context | {"params": {"version": "5"}}) == "5"

    def test_a_task_whose_fact_is_false_is_skipped_with_the_reason_and_raises_no_event(
        self, tasks_module: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from airflow.sdk import dag
        from airflow.sdk.exceptions import AirflowSkipException

        context = self.context(run_id="by hand") | {"params": {"night": "2026-11-01"}}
        monkeypatch.setattr(tasks_module, "get_current_context", lambda: context)
        told: dict[str, Any] = {"promoted": True}

        @dag(dag_id="only_if", schedule=None)
        def build() -> None:
            tasks_module.night_task("promote", lambda _: told, only_if="promoted")

        work = build().get_task("promote").python_callable
        assert work() == {"night": "2026-11-01", "promoted": True}
        told.update(promoted=False, reason="a later night answers")
        with pytest.raises(AirflowSkipException, match="a later night answers"):
            work()

    def test_a_run_without_any_says_what_to_type(self, tasks_module: Any) -> None:
        from ecclip.core import ConfigError

        with pytest.raises(ConfigError, match="conf"):
            tasks_module.night_of_run(self.context(run_type="manual", logical_date=None))

    def test_a_night_that_is_no_date_is_refused(self, tasks_module: Any) -> None:
        from ecclip.core import ConfigError

        with pytest.raises(ConfigError, match="ISO date"):
            tasks_module.night_of_run(self.context() | {"params": {"night": "yesterday"}})
