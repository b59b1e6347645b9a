"""A price book and assumptions of round numbers, so that sums can be made in one's head."""

from infra.cost.book import Assumptions, Book, read_assumptions, read_book

BOOK = """\
date: "2026-01-01"
region: eu-central-1
instances:
  source: https://example.com/instances
  types:
    m7i.large: {hour: 0.1, cpu: 2, memory: 8}
    m7i.xlarge: {hour: 0.2, cpu: 4, memory: 16}
    g5.xlarge: {hour: 1, cpu: 4, memory: 16, gpus: 1}
databases:
  source: https://example.com/databases
  classes: {db.t4g.medium: 0.1}
  gb_month: 0.1
  backup_gb_month: 0.1
eks: {source: https://example.com/eks, cluster_hour: 0.1}
nat: {source: https://example.com/nat, hour: 0.04, gb: 0.05}
endpoint: {source: https://example.com/endpoint, hour: 0.01, gb: 0}
address: {source: https://example.com/address, hour: 0.01}
balancer: {source: https://example.com/balancer, hour: 0, unit_hour: 0}
disk: {source: https://example.com/disk, gb_month: 0.1}
objects: {source: https://example.com/objects, gb_month: 1, million_reads: 0, million_writes: 0}
images: {source: https://example.com/images, gb_month: 0}
transfer: {source: https://example.com/transfer, out_gb: 0, zone_gb: 0}
keys: {source: https://example.com/keys, month: 0}
secrets: {source: https://example.com/secrets, month: 0}
logs: {source: https://example.com/logs, gb: 0, gb_month: 0}
functions:
  source: https://example.com/functions
  gb_second: 0.01
  provisioned_gb_second: 0.001
  million_calls: 1
  million_api_calls: 1
watch: {source: https://example.com/watch, million_events: 0, config_item: 0}
backup: {source: https://example.com/backup, gb_month: 0}
"""
NOTHING = "{min: 0, typical: 0, max: 0}"
ASSUMED = f"""\
hours: 100
load: {{min: 0, typical: 0.5, max: 1}}
spot: {{min: 0.2, typical: 0.5, max: 1}}
reserved: {{share: 0, cpu: 0, memory: 0}}
node_disk: 10
runs: {{min: 0, typical: 10, max: 20}}
run_part: {{min: 0, typical: 0.5, max: 1}}
release_gb: {{min: 1, typical: 2, max: 3}}
data_gb: {{min: 1, typical: 2, max: 3}}
image_gb: {NOTHING}
log_gb: {NOTHING}
nat_gb: {{min: 0, typical: 20, max: 200}}
endpoint_gb: {NOTHING}
out_gb: {NOTHING}
zone_gb: {NOTHING}
balancer_units: {NOTHING}
million_requests: {{min: 0, typical: 1, max: 10}}
call_seconds: {{min: 0.01, typical: 0.02, max: 0.1}}
million_events: {NOTHING}
config_items: {NOTHING}
secrets: 0
"""


def book(text: str = BOOK) -> Book:
    return read_book("infra/prices/aws-eu-central-1-2026-01-01.yaml", text)


def assumed(text: str = ASSUMED) -> Assumptions:
    return read_assumptions("infra/prices/assumptions.yaml", text)
