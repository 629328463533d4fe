from swift_testing.kit.model import CheckFailed as CheckFailed, Example as Example, Skip as Skip
from swift_testing.kit.pytest_cases import parametrize_with_checks as parametrize_with_checks
from swift_testing.kit.subject import Subject as Subject
