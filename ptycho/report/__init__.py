"""What a comparison leaves behind: tables, arrays, pictures, `run_report.json`."""

from ptycho.report._artifacts import ArtifactOptions as ArtifactOptions
from ptycho.report._artifacts import write_artifacts as write_artifacts
from ptycho.report._artifacts import write_report as write_report
from ptycho.report._sizes import artifact_bytes as artifact_bytes
from ptycho.report.curve_figures import plot_frc as plot_frc
from ptycho.report.curve_figures import plot_half_sets as plot_half_sets
from ptycho.report.curve_figures import plot_loss_curve as plot_loss_curve
from ptycho.report.exports import export_images as export_images
from ptycho.report.figure_files import save_figure as save_figure
from ptycho.report.figures import write_plots as write_plots
from ptycho.report.fingerprints import InputFile as InputFile
from ptycho.report.image_figures import plot_comparison as plot_comparison
from ptycho.report.image_figures import plot_errors as plot_errors
from ptycho.report.image_figures import plot_image as plot_image
from ptycho.report.image_figures import plot_reconstruction as plot_reconstruction
from ptycho.report.options import PlotOptions as PlotOptions
from ptycho.report.page import write_page as write_page
from ptycho.report.page import write_study as write_study
from ptycho.report.page import write_training_page as write_training_page
from ptycho.report.patch_dump import dumping as dumping
from ptycho.report.run_report import RunInfo as RunInfo
from ptycho.report.scan_figure import plot_scan as plot_scan
from ptycho.report.training_figures import plot_held_out as plot_held_out
