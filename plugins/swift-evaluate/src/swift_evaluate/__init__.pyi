from swift_evaluate.asking import (
    Answer as Answer,
    Question as Question,
    ask_all as ask_all,
    prompt_hash as prompt_hash,
    question_id as question_id,
)
from swift_evaluate.comparison import Comparison as Comparison, compare as compare
from swift_evaluate.paired_statistics import Paired as Paired, paired as paired
from swift_evaluate.roles import (
    Evaluation as Evaluation,
    Evaluator as Evaluator,
    InlineEvaluator as InlineEvaluator,
    Item as Item,
    Scores as Scores,
)
from swift_evaluate.statistics import Estimate as Estimate, estimate as estimate
