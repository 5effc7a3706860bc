"""The columns and names that people's queries have: what Microsoft's connectors made stays."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tools.content import load_parsers, load_tables
from tools.kql_check import Analysis, Query, analyse

SENTINELONE = """
createdAt_t id_s primaryDescription_s secondaryDescription_s description_s event_name_s userId_s
data_username_s data_userName_s domain_s modelName_s osName_s data_policy_id_s data_newValue_b
data_uuid_g uuid_g activityType_d DataFields_s data_accountName_s data_fullScopeDetails_s
data_scopeLevel_s data_scopeName_s data_siteId_d data_siteName_s data_byUser_s data_role_s
data_userScope_s data_source_s data_expiryDateStr_s data_expiryTime_d data_networkquarantine_b
data_ruleCreationTime_d data_ruleDescription_s data_ruleExpirationMode_s data_ruleId_d
data_ruleName_s data_ruleQueryDetails_s data_ruleQueryType_s data_ruleSeverity_s data_scopeId_d
data_status_s data_systemUser_d data_treatasthreat_s data_userId_s data_computerName_s
data_externalIp_s data_groupName_s data_system_b data_group_s data_optionalGroups_s
data_createdAt_t data_downloadUrl_s data_filePath_s data_filename_s data_uploadedFilename_s
data_newValue_s data_policyName_s data_shouldReboot_b data_roleName_s data_scopeLevelName_s
activeDirectory_computerDistinguishedName_s activeDirectory_computerMemberOf_s
activeDirectory_lastUserDistinguishedName_s activeDirectory_lastUserMemberOf_s activeThreats_d
agentVersion_s allowRemoteShell_b appsVulnerabilityStatus_s computerName_s consoleMigrationStatus_s
coreCount_d cpuCount_d cpuId_s encryptedApplications_b externalId_s externalIp_s firewallEnabled_b
groupIp_s inRemoteShellSession_b infected_b installerType_s isActive_b isDecommissioned_b
isPendingUninstall_b isUninstalled_b isUpToDate_b lastActiveDate_t lastIpToMgmt_s
lastLoggedInUserName_s licenseKey_s locationEnabled_b locationType_s locations_s machineType_s
mitigationMode_s mitigationModeSuspicious_s networkInterfaces_s networkQuarantineEnabled_b
networkStatus_s operationalState_s osArch_s osRevision_s osStartTime_t osType_s rangerStatus_s
rangerVersion_s registeredAt_t remoteProfilingState_s scanFinishedAt_t scanStartedAt_t scanStatus_s
threatRebootRequired_b totalMemory_d userActionsNeeded_s creator_s creatorId_s inherits_b
isDefault_b name_s registrationToken_s totalAgents_d type_s accountId_s accountName_s siteId_s
siteName_s groupId_s groupName_s agentId_s comments_s updatedAt_t activityUuid_g
alertInfo_alertId_s alertInfo_createdAt_t alertInfo_eventType_s alertInfo_dvEventId_s
alertInfo_srcMachineIp_s alertInfo_loginsUserName_s alertInfo_analystVerdict_s
agentDetectionInfo_name_s agentDetectionInfo_osFamily_s agentDetectionInfo_uuid_g ruleInfo_name_s
ruleInfo_id_s ruleInfo_description_s ruleInfo_severity_s sourceProcessInfo_name_s
"""
ONELOGIN = """
app_name_s app_id_d role_name_s role_id_d policy_name_s policy_type_s policy_id_d user_agent_s
user_id_d user_attributes_username_s user_attributes_department_s user_attributes_firstname_s
user_attributes_email_s user_attributes_openid_name_s user_attributes_title_s
user_attributes_lastname_s user_attributes_account_id_d user_name_s create__id_g uuid_g
actor_system_s custom_message_s account_id_d ipaddr_s actor_user_name_s actor_user_id_d notes_s
event_type_id_d event_timestamp_s
"""
JIRA = """
id_d summary_s remoteAddress_s authorKey_s authorAccountId_s created_t eventSource_s objectItem_id_s
objectItem_name_s objectItem_typeName_s objectItem_parentId_s objectItem_parentName_s
changedValues_s associatedItems_s Category category_s description_s
"""
# The columns that Microsoft's 18 ASIM parsers for SentinelOne (plain and filtering) name.
ASIM_SENTINELONE = """
event_name_s id_s createdAt_t activityType_d activityUuid_g userId_s groupId_s comments_s
description_s primaryDescription_s secondaryDescription_s DataFields_s siteId_s siteName_s
accountId_s accountName_s agentDetectionInfo_agentIpV4_s agentDetectionInfo_agentLastLoggedInUpn_s
agentDetectionInfo_machineType_s agentDetectionInfo_name_s agentDetectionInfo_osFamily_s
agentDetectionInfo_osName_s agentDetectionInfo_osRevision_s agentDetectionInfo_uuid_g
agentDetectionInfo_version_s agentRealtimeInfo_agentComputerName_s agentRealtimeInfo_agentDomain_s
agentRealtimeInfo_agentId_s agentRealtimeInfo_agentOsName_s agentRealtimeInfo_agentOsRevision_s
alertInfo_analystVerdict_s alertInfo_createdAt_t alertInfo_dnsRequest_s alertInfo_dnsResponse_s
alertInfo_dstIp_s alertInfo_dstPort_s alertInfo_dvEventId_s alertInfo_eventType_s
alertInfo_loginAccountDomain_s alertInfo_loginAccountSid_s alertInfo_loginIsSuccessful_s
alertInfo_loginsUserName_s alertInfo_loginType_s alertInfo_netEventDirection_s
alertInfo_registryKeyPath_s alertInfo_registryOldValue_s alertInfo_registryOldValueType_s
alertInfo_registryValue_s alertInfo_srcIp_s alertInfo_srcMachineIp_s alertInfo_srcPort_s
indicators_s ruleInfo_name_s ruleInfo_severity_s ruleInfo_treatAsThreat_s
sourceParentProcessInfo_fileHashMd5_g sourceParentProcessInfo_fileHashSha1_s
sourceParentProcessInfo_fileHashSha256_s sourceParentProcessInfo_name_s
sourceParentProcessInfo_pid_s sourceProcessInfo_commandline_s sourceProcessInfo_fileHashMd5_g
sourceProcessInfo_fileHashSha1_s sourceProcessInfo_fileHashSha256_s sourceProcessInfo_name_s
sourceProcessInfo_pid_s sourceProcessInfo_pidStarttime_t sourceProcessInfo_uniqueId_g
sourceProcessInfo_user_s targetProcessInfo_tgtFileCreatedAt_t targetProcessInfo_tgtFileHashSha1_s
targetProcessInfo_tgtFileHashSha256_s targetProcessInfo_tgtFileOldPath_s
targetProcessInfo_tgtFilePath_s targetProcessInfo_tgtProcCmdLine_s
targetProcessInfo_tgtProcIntegrityLevel_s targetProcessInfo_tgtProcName_s
targetProcessInfo_tgtProcPid_s targetProcessInfo_tgtProcessStartTime_t threatInfo_analystVerdict_s
threatInfo_classification_s threatInfo_engines_s threatInfo_filePath_s threatInfo_fileSize_d
threatInfo_identifiedAt_t threatInfo_incidentStatus_s threatInfo_maliciousProcessArguments_s
threatInfo_md5_g threatInfo_originatorProcess_s threatInfo_processUser_s threatInfo_sha1_s
threatInfo_sha256_s threatInfo_threatId_s threatInfo_threatName_s threatInfo_updatedAt_t
"""
# The columns of every classic table that those parsers remove at their end, by name.
CLASSIC = "Computer MG ManagementGroupName RawData SourceSystem TenantId _ResourceId"
TYPES = {"s": "string", "g": "string", "d": "real", "b": "boolean", "t": "datetime"}

# What Microsoft's first parsers output, by type: those that came before the codeless connectors.
ALIASES = {
    "SentinelOne": {
        "datetime": """
            TimeGenerated EventCreationTime UpdatedAt LastActiveDate OsStartTime RegisteredAt
            ScanFinishedAt ScanStartedAt
        """,
        "real": "ActivityType ActiveThreats CoreCount CpuCount TotalMemory TotalAgents",
        "boolean": """
            DataNewValueb AllowRemoteShell EncryptedApplications FirewallEnabled
            InRemoteShellSession Infected IsActive IsDecommissioned IsPendingUninstall
            IsUninstalled IsUpToDate LocationEnabled NetworkQuarantineEnabled ThreatRebootRequired
            Inherits IsDefault
        """,
        "string": """
            EventVendor EventProduct AccountId AccountName DataAccountName DataFullScopeDetails
            DataScopeLevel DataScopeName DataSiteId DataSiteName SrcUserName EventId
            EventOriginalMessage SiteId SiteName UserIdentity EventType DataByUser DataRole
            DataUserScope EventTypeDetailed DataSource DataExpiryDateStr DataExpiryTime
            DataNetworkquarantine DataRuleCreationTime DataRuleDescription DataRuleExpirationMode
            DataRuleId DataRuleName DataRuleQueryDetails DataRuleQueryType DataRuleSeverity
            DataScopeId DataStatus DataSystemUser DataTreatasthreat DataUserId DataUserName
            EventSubStatus AgentId DataComputerName DataExternalIp DataGroupName DataSystem
            DataUuid GroupId GroupName DataGroup DataOptionalGroups DataCreatedAt DataDownloadUrl
            DataFilePath DataFilename DataUploadedFilename Comments DataNewValue DataPolicyId
            DataPolicyName DataShouldReboot DataRoleName DataScopeLevelName
            ActiveDirectoryComputerDistinguishedName ActiveDirectoryComputerMemberOf
            ActiveDirectoryLastUserDistinguishedName ActiveDirectoryLastUserMemberOf AgentVersion
            AppsVulnerabilityStatus ComputerName ConsoleMigrationStatus CpuId SrcDvcDomain
            ExternalId ExternalIp GroupIp InstallerType LastIpToMgmt LastLoggedInUserName
            LicenseKey LocationType Locations MachineType MitigationMode MitigationModeSuspicious
            SrcDvcModelName NetworkInterfaces NetworkStatus OperationalState OsArch SrcDvcOs
            OsRevision OsType RangerStatus RangerVersion RemoteProfilingState ScanStatus
            UserActionsNeeded Uuid Creator CreatorId Name RegistrationToken Type
        """,
    },
    "OneLogin": {
        "datetime": "TimeGenerated",
        "real": """
            TargetAppId RoleId PolicyId UserId UserAttributesAccountId AccountId ActorUserId
            EventTypeId
        """,
        "string": """
            TargetAppName RoleName PolicyName PolicyType HttpUserAgent UserAttributesUsername_s
            UserAttributesUsername UserAttributesDepartment UserAttributesFirstname
            UserAttributesEmail UserAttributesOpenidName UserAttributesTitle
            UserAttributesLastname UserName EventOriginalUid UUID ActorSystem CustomMessage
            SrcIpAddr ActorUserName Message EventStartTime EventVendor EventProduct EventType
            TenantId SourceSystem MG ManagementGroupName Computer RawData Type _ResourceId
        """,
    },
    "JiraAudit": {
        "datetime": "TimeGenerated EventCreationTime",
        "real": "EventId",
        "string": """
            EventVendor EventProduct EventMessage SrcIpAddr UserName UserSid EventSource
            ObjectItemId ObjectItemName ObjectItemTypeName ObjectItemParentId ObjectItemParentName
            ChangedValues AssociatedItems EventCategoryType
        """,
    },
}
# What every parser of ours outputs besides.
OURS = {"EventTime": "datetime", "Connection": "string", "AdditionalFields": "dynamic"}


@pytest.mark.parametrize(
    ("table", "columns"),
    [("SentinelOne_CL", SENTINELONE), ("OneLogin_CL", ONELOGIN), ("Jira_Audit_CL", JIRA)],
)
def test_tables_keep_the_columns_of_the_data_collector(table: str, columns: str) -> None:
    """Each column that existing content reads is there, of the type that its suffix tells."""
    declared = {found.name: found.columns for found in load_tables()}[table]
    for name in columns.split():
        suffix = name.rpartition("_")[2]
        assert declared[name] == TYPES.get(suffix, "string"), name


def test_what_the_asim_parsers_of_microsoft_name_resolves() -> None:
    """A fresh table has each column that they read or remove; a missing one would be an error."""
    read = ", ".join(ASIM_SENTINELONE.split())
    removed = f"*_d, *_s, *_g, *_t, *_b, {CLASSIC.replace(' ', ', ')}"
    found, fresh = analyse(
        [
            Query("reads", f"SentinelOne_CL | project {read}, Left = _ItemId"),
            Query("removes", f"SentinelOne_CL | project-away {removed}"),
        ]
    )
    assert not found.errors + fresh.errors
    assert fresh.columns is not None
    assert not {*CLASSIC.split(), *ASIM_SENTINELONE.split()} & fresh.columns.keys()


def test_a_column_that_is_missing_would_be_noticed() -> None:
    """The check can fail: without the columns of classic tables the same query is an error."""
    columns = next(found.columns for found in load_tables() if found.name == "SentinelOne_CL")
    without = {name: kind for name, kind in columns.items() if name not in CLASSIC.split()}
    query = "SentinelOne_CL | project-away Computer, MG, ManagementGroupName, RawData"
    (found,) = analyse([Query("removes", query, tables={"SentinelOne_CL": without})])
    names = ("Computer", "MG", "ManagementGroupName", "RawData")
    assert all(any(f"'{name}'" in error for error in found.errors) for name in names)


@pytest.mark.parametrize("alias", ALIASES)
def test_parsers_keep_their_names(analyses: Mapping[str, Analysis], alias: str) -> None:
    """Each alias gives the columns that queries on it have been reading, with their types."""
    columns = analyses[f"alias {alias}"].columns
    assert columns is not None
    expected = {name: kind for kind, names in ALIASES[alias].items() for name in names.split()}
    expected |= OURS
    assert {name: columns.get(name) for name in expected} == expected


def test_onelogins_parser_keeps_every_raw_column(analyses: Mapping[str, Analysis]) -> None:
    """OneLogin_CL's own columns are there beside the names that the parser gives them."""
    columns = analyses["alias OneLogin"].columns
    assert columns is not None
    raw = {found.name: found.columns for found in load_tables()}["OneLogin_CL"]
    assert {name: columns.get(name) for name in raw} == raw


def test_there_is_a_parser_for_each_alias() -> None:
    """No parser is without a list of the names that it must keep."""
    assert {parser.alias for parser in load_parsers()} == set(ALIASES)
