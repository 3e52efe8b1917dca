from .collection import NAMES as NAMES
from .collection import catalogue as catalogue
from .collection import expand as expand
from .collection import load as load
from .config import FaultConfig as FaultConfig
from .draws import Draws as Draws
from .engine import FaultEngine as FaultEngine
from .fault import Fault as Fault
from .fault import Sensor as Sensor
from .image.site import ImageFault as ImageFault
from .image.site import ImageSite as ImageSite
from .inject import inject_faults as inject_faults
from .inject import kind_names as kind_names
from .labels import FaultLabels as FaultLabels
from .log import FaultLog as FaultLog
from .log import read_log as read_log
from .patterns import PATTERNS as PATTERNS
from .plan import Plan as Plan
from .presence import split_missing as split_missing
from .scenario import FaultScenario as FaultScenario
from .schedule import FaultEvent as FaultEvent
from .schedule import FaultSchedule as FaultSchedule
from .schedule import draw_schedule as draw_schedule
from .series.site import SeriesFault as SeriesFault
from .series.site import SeriesSite as SeriesSite
from .severity import SeverityScale as SeverityScale
from .testing import check_fault as check_fault

__all__ = [
    'NAMES',
    'PATTERNS',
    'Draws',
    'Fault',
    'FaultConfig',
    'FaultEngine',
    'FaultEvent',
    'FaultLabels',
    'FaultLog',
    'FaultScenario',
    'FaultSchedule',
    'ImageFault',
    'ImageSite',
    'Plan',
    'Sensor',
    'SeriesFault',
    'SeriesSite',
    'SeverityScale',
    'catalogue',
    'check_fault',
    'draw_schedule',
    'expand',
    'inject_faults',
    'kind_names',
    'load',
    'read_log',
    'split_missing',
]
