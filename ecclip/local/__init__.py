"""The processes of one machine: Airflow, MLflow and Triton as supervised services, and the demo that uses them."""

from ecclip.local.airflow_rest import AirflowApi
from ecclip.local.demonstration import demo
from ecclip.local.following import NightView, TaskView, follow_night, trigger_night
from ecclip.local.nights import make_workspace, sample_config, sample_nights
from ecclip.local.own import declare_nights, enter_shop
from ecclip.local.services import airflow_api, down, services_in_use, start_services, status, stop_services, up
from ecclip.local.triton import reconcile_servers, serve

__all__ = [
    "AirflowApi",
    "NightView",
    "TaskView",
    "airflow_api",
    "declare_nights",
    "demo",
    "down",
    "enter_shop",
    "follow_night",
    "make_workspace",
    "reconcile_servers",
    "sample_config",
    "sample_nights",
    "serve",
    "services_in_use",
    "start_services",
    "status",
    "stop_services",
    "trigger_night",
    "up",
]
