"""`egomon teach`: a bundle for the user's own workflow from a few correct recordings, no labels."""

from egomon.train.features.recording import RecordingVectors
from egomon.train.teach.one_class.fit import TaughtWorkflow, teach_from_vectors
from egomon.train.teach.report import TeachReport
from egomon.train.teach.run import teach

__all__ = ["RecordingVectors", "TaughtWorkflow", "TeachReport", "teach", "teach_from_vectors"]
