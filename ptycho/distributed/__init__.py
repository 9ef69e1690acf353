"""Shards of a run on the workers of a Dask cluster; needs the extra ``distributed``."""

from ptycho.distributed.checking import check_workers as check_workers
from ptycho.distributed.cluster import check_scheduler as check_scheduler
from ptycho.distributed.cluster import cluster_client as cluster_client
from ptycho.distributed.cluster import device_client as device_client
from ptycho.distributed.cluster import import_distributed as import_distributed
from ptycho.distributed.devices import WorkerDevices as WorkerDevices
from ptycho.distributed.refiner import ClusterRefiner as ClusterRefiner
from ptycho.distributed.refiner import refine_files as refine_files
from ptycho.distributed.runner import ClusterRunner as ClusterRunner
from ptycho.distributed.runner import reconstruct_files as reconstruct_files
