"""A run, or a study of several, as one HTML file that needs neither network nor program but a browser."""

from ptycho.report.page._page import write_page as write_page
from ptycho.report.page._study_page import write_study as write_study
