"""Models and finished images on one scan: run, place, register, score."""

from ptycho.comparison._compare import check_arms as check_arms
from ptycho.comparison._compare import compare as compare
from ptycho.comparison._compare import plan_arm as plan_arm
from ptycho.comparison._placing import refined_label as refined_label
from ptycho.comparison.arms import Arm as Arm
from ptycho.comparison.arms import ArmImage as ArmImage
from ptycho.comparison.arms import FinishedArm as FinishedArm
from ptycho.comparison.arms import ModelArm as ModelArm
from ptycho.comparison.opening import load_arm as load_arm
from ptycho.comparison.refined import RefinedArm as RefinedArm
from ptycho.comparison.results import ArmResult as ArmResult
from ptycho.comparison.results import ComparisonResult as ComparisonResult
from ptycho.comparison.results import Failure as Failure
from ptycho.comparison.settings import ComparisonSettings as ComparisonSettings
