"""A run, or a study of several, as one HTML file that needs neither network nor program but a browser."""

from ptycho.report.page._page import write_page as write_page
from ptycho.report.page._study_page import write_study as write_study
from ptycho.report.page._training_page import is_training as is_training
from ptycho.report.page._training_page import write_training_page as write_training_page
