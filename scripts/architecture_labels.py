"""What the picture calls each node, in its two languages."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Label:
    """A name and, below it, what it is or holds."""

    en: str
    en_below: str
    ko: str
    ko_below: str

    def of(self, language: str) -> tuple[str, str]:
        return (self.ko, self.ko_below) if language == "ko" else (self.en, self.en_below)


LABELS: Mapping[str, Label] = {
    "callers": Label("Callers", "with an API key", "호출하는 쪽", "API 키를 보냅니다"),
    "Api": Label("API Gateway", "REST, throttled", "API Gateway", "REST, 요청량 제한"),
    "SearchFunction": Label("search", "", "search", ""),
    "HealthFunction": Label("health", "", "health", ""),
    "DocumentsFunction": Label("documents", "", "documents", ""),
    "IngestFunction": Label("ingest", "by events; sweeps", "ingest", "이벤트와 대조"),
    "QualityFunction": Label("quality", "", "quality", ""),
    "ReportFunction": Label("report", "", "report", ""),
    "SmokeFunction": Label("smoke", "asks the new version", "smoke", "새 버전에 물어봅니다"),
    "Data.Documents": Label("Documents", "S3, versioned", "문서", "S3, 버전 보관"),
    "Data.IngestQueue": Label("Changes", "SQS", "변경 알림", "SQS"),
    "Data.DeadQueue": Label(
        "Dead letters", "SQS, with the reason", "실패한 알림", "SQS, 이유와 함께"
    ),
    "Data.DocumentsTable": Label("Ledger", "DynamoDB", "장부", "DynamoDB"),
    "Data.CacheTable": Label(
        "Cache table",
        "DynamoDB: answers, circuits, limits",
        "캐시 테이블",
        "DynamoDB: 답, 차단기, 한도",
    ),
    "Network.Cache": Label(
        "Valkey", "ElastiCache, optional: faster", "Valkey", "ElastiCache(선택): 더 빠르게"
    ),
    "Operations.LiveApplication": Label(
        "Live configuration",
        "AppConfig: fences, limits",
        "실시간 설정",
        "AppConfig: 네임스페이스 권한, 한도",
    ),
    "vendor keys": Label(
        "Vendors' keys",
        "Secrets Manager or SSM",
        "공급사 키",
        "Secrets Manager 또는 SSM",
    ),
    "vendors": Label("Vendors", "models and index", "공급사", "모델과 색인"),
    "Release": Label("Release alarms", "of the new version", "출시 경보", "새 버전만 봅니다"),
    "codedeploy": Label("CodeDeploy", "shifts the traffic", "CodeDeploy", "트래픽을 옮깁니다"),
    "Alarms": Label("Alarms", "CloudWatch", "경보", "CloudWatch"),
    "Operations.PageTopic": Label("page", "SNS", "page", "SNS"),
    "Operations.TicketTopic": Label("ticket", "SNS", "ticket", "SNS"),
    "people": Label("On call", "", "당직자", ""),
}

VENDORS: Mapping[str, str] = {"openai": "OpenAI", "pinecone": "Pinecone"}

WORDS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "title": "Steadyrag in your AWS account",
        "shared": "What functions share",
        "used by": "used by",
        "watch": "watch",
        "network": "in a VPC, with CacheMode=elasticache",
        "upload": "presigned upload",
        "every minute": "every minute",
        "every hour": "every hour",
        "daily": "every day, {hour:02}:{minute:02} UTC",
        "alarms": "{count} in all",
    },
    "ko": {
        "title": "여러분의 AWS 계정에서 도는 Steadyrag",
        "shared": "함수들이 함께 쓰는 것",
        "used by": "쓰는 함수:",
        "watch": "보는 것:",
        "network": "CacheMode=elasticache이면 VPC 안",
        "upload": "서명된 업로드",
        "every minute": "매분",
        "every hour": "매시간",
        "daily": "매일 {hour:02}:{minute:02} UTC",
        "alarms": "모두 {count}개",
    },
}
