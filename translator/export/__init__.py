"""Export of models to CTranslate2: conversion, verification and the exported folder."""
